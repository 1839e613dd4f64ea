"""What a model thought before it called tools, which it is sent back with their results."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("message", sa.Column("reasoning", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("message", "reasoning")

"""Who wrote a message."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("message", sa.Column("created_by", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("message", "created_by")

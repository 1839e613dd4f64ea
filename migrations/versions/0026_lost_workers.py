"""How many workers were lost while they ran a step."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "step", sa.Column("lost_workers", sa.Integer(), nullable=False, server_default="0")
    )


def downgrade() -> None:
    op.drop_column("step", "lost_workers")

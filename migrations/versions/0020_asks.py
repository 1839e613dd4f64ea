"""Actions that steps of flows open: no call waits for them."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("action", sa.Column("step_id", sa.String(), nullable=True))
    op.add_column("action", sa.Column("question", sa.String(), nullable=True))
    op.alter_column("action", "tool_call_id", nullable=True)
    op.alter_column("action", "name", nullable=True)


def downgrade() -> None:
    op.execute("DELETE FROM action WHERE tool_call_id IS NULL")
    op.alter_column("action", "name", nullable=False)
    op.alter_column("action", "tool_call_id", nullable=False)
    op.drop_column("action", "question")
    op.drop_column("action", "step_id")

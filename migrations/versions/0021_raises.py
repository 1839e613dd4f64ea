"""Raises of budgets: the approved actions, which are looked for where a limit is reached."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():  # turns go on while it is built
        op.create_index(
            "ix_action_raise",
            "action",
            ["org_id", "resolved_at"],
            postgresql_where=sa.text("kind = 'budget' AND status = 'approved'"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.drop_index("ix_action_raise", "action")

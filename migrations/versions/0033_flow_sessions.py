"""The index by which it is found whether a session runs a revision of a flow."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():  # turns go on while it is built
        op.drop_index("ix_session_flow", "session", if_exists=True, postgresql_concurrently=True)
        op.create_index(
            "ix_session_flow",
            "session",
            ["org_id", "flow", "flow_revision"],
            postgresql_where=sa.text("flow_revision > 0"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.drop_index("ix_session_flow", "session")

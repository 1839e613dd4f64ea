"""The index by which the sessions of an org whose last turn failed are found."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():  # turns go on while it is built
        op.create_index(
            "ix_session_failed",
            "session",
            ["org_id", "created", "id"],
            postgresql_where=sa.text("task_error IS NOT NULL"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.drop_index("ix_session_failed", "session")

"""The index of renames: `logs` shows a resource under all names that it had."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():  # verbs go on while it is built
        op.create_index(
            "ix_journal_renames",
            "journal",
            ["org_id", "kind", "name"],
            postgresql_where=sa.text("command = 'rename'"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.drop_index("ix_journal_renames", "journal")

"""The index of `logs`: without the verbs that only look, so that no number of looks slows it."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():  # verbs go on while it is built
        op.create_index(
            "ix_journal_changes",
            "journal",
            ["org_id", "kind", "name", "created"],
            postgresql_where=sa.text("command NOT IN ('describe', 'diff', 'get', 'logs')"),
            postgresql_concurrently=True,
        )
        op.drop_index("ix_journal_resource", table_name="journal", postgresql_concurrently=True)


def downgrade() -> None:
    op.create_index("ix_journal_resource", "journal", ["org_id", "kind", "name", "created"])
    op.drop_index("ix_journal_changes", "journal")

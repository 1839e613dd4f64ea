"""The indexes by which threads are found: by a text, and by who may use them."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

_SAID = sa.text("(jsonb_path_query_array(content, '$[*].text')::text) gin_trgm_ops")
_TITLE_OPS = {"title": "gin_trgm_ops"}


def upgrade() -> None:
    # Both may be made by whoever owns the database.
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    op.execute("CREATE EXTENSION IF NOT EXISTS btree_gin")
    with op.get_context().autocommit_block():  # turns go on while they are built
        op.execute("SET maintenance_work_mem = '256MB'")
        _index("ix_message_said", "message", ["org_id", _SAID], postgresql_using="gin")
        _index(
            "ix_session_title",
            "session",
            ["org_id", "title"],
            postgresql_using="gin",
            postgresql_ops=_TITLE_OPS,
        )
        _index("ix_session_creator", "session", ["org_id", "created_by", "created", "id"])
        _index("ix_session_shared", "session", ["org_id", "visibility", "created", "id"])
        op.execute("RESET maintenance_work_mem")


def _index(name: str, table: str, columns: list[object], **options: object) -> None:
    """Builds an index; one that was not finished is built anew."""
    op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
    op.create_index(name, table, columns, postgresql_concurrently=True, **options)


def downgrade() -> None:
    op.drop_index("ix_session_shared", "session")
    op.drop_index("ix_session_creator", "session")
    op.drop_index("ix_session_title", "session")
    op.drop_index("ix_message_said", "message")

"""Sessions that a step of another session started."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("session", sa.Column("parent_session_id", sa.String(), nullable=True))
    op.add_column(
        "session", sa.Column("depth", sa.Integer(), server_default="0", nullable=False)
    )
    op.create_foreign_key(
        op.f("fk_session_parent_session_id_session"),
        "session",
        "session",
        ["parent_session_id"],
        ["id"],
        ondelete="CASCADE",
        postgresql_not_valid=True,  # no row has one yet
    )
    with op.get_context().autocommit_block():  # turns go on while it is built
        op.create_index(
            "ix_session_parent",
            "session",
            ["parent_session_id"],
            postgresql_where=sa.text("parent_session_id IS NOT NULL"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.drop_index("ix_session_parent", "session")
    op.drop_constraint(op.f("fk_session_parent_session_id_session"), "session")
    op.drop_column("session", "depth")
    op.drop_column("session", "parent_session_id")

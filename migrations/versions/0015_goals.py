"""Goals of threads, and what achieved ones leave: summaries, tags and events of datasets."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def _created() -> sa.Column:
    return sa.Column(
        "created",
        sa.DateTime(timezone=True),
        server_default=sa.text("clock_timestamp()"),
        nullable=False,
    )


def upgrade() -> None:
    op.create_table(
        "goal",
        sa.Column("session_id", sa.String(), nullable=False),
        sa.Column("idx", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("org_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("data", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("message_idx", sa.Integer(), nullable=False),
        sa.Column("tool_use_id", sa.String(), nullable=True),
        sa.Column("output", sa.JSON(none_as_null=True), nullable=True),
        _created(),
        sa.Column("concluded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("concluded_version", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["session.id"],
            name=op.f("fk_goal_session_id_session"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("session_id", "idx", name=op.f("pk_goal")),
    )
    op.create_table(
        "dataset_event",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("org_id", sa.String(), nullable=False),
        sa.Column("dataset_id", sa.String(), nullable=False),
        sa.Column("collection_id", sa.String(), nullable=True),
        sa.Column("session_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("start_time", sa.BigInteger(), nullable=False),
        sa.Column("end_time", sa.BigInteger(), nullable=False),
        sa.Column("description", sa.String(), nullable=True),
        sa.Column("tags", postgresql.JSONB(none_as_null=True), nullable=False),
        sa.Column("target_id", sa.String(), nullable=False),
        _created(),
        sa.ForeignKeyConstraint(
            ["org_id"], ["org.id"], name=op.f("fk_dataset_event_org_id_org")
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["entity.id"],
            name=op.f("fk_dataset_event_dataset_id_entity"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["entity.id"],
            name=op.f("fk_dataset_event_collection_id_entity"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset_event")),
    )
    op.create_index("ix_dataset_event_page", "dataset_event", ["dataset_id", "start_time", "id"])
    op.create_index(
        op.f("ix_dataset_event_collection_id"), "dataset_event", ["collection_id"]
    )
    op.add_column("entity", sa.Column("summary", sa.String(), nullable=True))
    op.add_column(
        "entity",
        sa.Column(
            "tags",
            postgresql.JSONB(none_as_null=True),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
    )


def downgrade() -> None:
    op.drop_column("entity", "tags")
    op.drop_column("entity", "summary")
    op.drop_table("dataset_event")
    op.drop_table("goal")

"""Skills, their versions, and who is subscribed to them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def _moment(name: str) -> sa.Column:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        server_default=sa.text("clock_timestamp()"),
        nullable=False,
    )


def upgrade() -> None:
    op.create_table(
        "skill",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("org_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("accessibility", sa.String(), nullable=False),
        sa.Column("tags", postgresql.JSONB(none_as_null=True), nullable=False),
        sa.Column("latest_version", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column("meta", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("key_order", sa.JSON(none_as_null=True), nullable=True),
        _moment("created"),
        sa.Column("created_by", sa.String(), nullable=False),
        _moment("modified"),
        sa.Column("modified_by", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("fk_skill_org_id_org")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_skill")),
    )
    op.create_index(
        "uq_skill_org_name",
        "skill",
        ["org_id", "name"],
        unique=True,
        postgresql_where="accessibility <> 'private'",
    )
    op.create_index(
        "uq_skill_private_name",
        "skill",
        ["org_id", "created_by", "name"],
        unique=True,
        postgresql_where="accessibility = 'private'",
    )
    op.create_index("ix_skill_page", "skill", ["org_id", "created", "id"])
    op.create_table(
        "skill_version",
        sa.Column("skill_id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("org_id", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("relevant_topics", postgresql.JSONB(none_as_null=True), nullable=False),
        _moment("created"),
        _moment("modified"),
        sa.ForeignKeyConstraint(
            ["skill_id"],
            ["skill.id"],
            name=op.f("fk_skill_version_skill_id_skill"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("skill_id", "version", name=op.f("pk_skill_version")),
    )
    op.create_table(
        "skill_subscription",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("skill_id", sa.String(), nullable=False),
        sa.Column("org_id", sa.String(), nullable=False),
        sa.Column("ai_version", sa.Integer(), nullable=True),
        _moment("subscribed"),
        sa.ForeignKeyConstraint(
            ["skill_id"],
            ["skill.id"],
            name=op.f("fk_skill_subscription_skill_id_skill"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("user_id", "skill_id", name=op.f("pk_skill_subscription")),
    )
    op.create_index(
        op.f("ix_skill_subscription_skill_id"), "skill_subscription", ["skill_id"]
    )


def downgrade() -> None:
    op.drop_table("skill_subscription")
    op.drop_table("skill_version")
    op.drop_table("skill")

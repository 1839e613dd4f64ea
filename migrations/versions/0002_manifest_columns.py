"""What manifests say beside the spec: metadata and a version for each kind; names of API keys."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_WITH_META = ("api_key", "entity", "flow_revision", "org", "user")
_WITH_VERSION = ("api_key", "entity", "org", "user")


def upgrade() -> None:
    op.alter_column("agent", "labels", new_column_name="meta")
    for table in _WITH_META:
        op.add_column(table, sa.Column("meta", postgresql.JSONB(), nullable=True))
    for table in _WITH_VERSION:
        op.add_column(
            table, sa.Column("version", sa.Integer(), nullable=False, server_default="1")
        )
    op.add_column("entity", sa.Column("created_by", sa.String(), nullable=True))
    op.add_column("entity", sa.Column("modified_by", sa.String(), nullable=True))
    op.add_column(
        "entity",
        sa.Column(
            "modified",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
    )
    op.add_column("api_key", sa.Column("name", sa.String(), nullable=True))
    op.create_unique_constraint("uq_api_key_org_id_name", "api_key", ["org_id", "name"])


def downgrade() -> None:
    op.drop_constraint("uq_api_key_org_id_name", "api_key", type_="unique")
    op.drop_column("api_key", "name")
    for column in ("modified", "modified_by", "created_by"):
        op.drop_column("entity", column)
    for table in _WITH_VERSION:
        op.drop_column(table, "version")
    for table in _WITH_META:
        op.drop_column(table, "meta")
    op.alter_column("agent", "meta", new_column_name="labels")

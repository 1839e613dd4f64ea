"""The order of keys in what users write: json in place of jsonb, and the order of manifests' keys.

A process of the previous release goes on: PostgreSQL casts the jsonb that it writes, and it does
not name the new column. Its first query of each such table after this may fail once, because its
prepared statement gives another type.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_WRITTEN = (
    ("agent", "request_template"),
    ("agent", "variables"),
    ("agent", "meta"),
    ("agent_revision", "request_template"),
    ("agent_revision", "variables"),
    ("api_key", "meta"),
    ("entity", "properties"),
    ("entity", "meta"),
    ("flow_revision", "spec"),
    ("flow_revision", "meta"),
    ("org", "meta"),
    ("resource", "spec"),
    ("resource", "meta"),
    ("secret", "meta"),
    ("user", "meta"),
)
_KINDS = ("agent", "api_key", "entity", "flow_revision", "org", "resource", "secret", "user")


def _retype(new: sa.types.TypeEngine, cast: str) -> None:
    for table, column in _WRITTEN:
        op.alter_column(table, column, type_=new, postgresql_using=f"{column}::{cast}")


def upgrade() -> None:
    _retype(sa.JSON(), "json")
    for table in _KINDS:
        op.add_column(table, sa.Column("key_order", sa.JSON(), nullable=True))


def downgrade() -> None:
    for table in _KINDS:
        op.drop_column(table, "key_order")
    _retype(postgresql.JSONB(), "jsonb")

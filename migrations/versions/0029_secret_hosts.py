"""Where a Secret may be sent: for those that are there, to the hosts of their connections."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

_OWN_URLS = {"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com/v1"}
_CONNECTIONS = """
SELECT org_id, kind, spec FROM resource WHERE kind IN ('Provider', 'ApiConnection', 'McpServer')
"""
_UPDATE = "UPDATE secret SET hosts = hosts || CAST(:hosts AS jsonb) WHERE org_id = :org_id AND name = :name"


def upgrade() -> None:
    op.add_column("secret", sa.Column("value_by", sa.String()))
    op.add_column(
        "secret", sa.Column("usable_by", sa.String(), nullable=False, server_default="write")
    )
    op.add_column("secret", sa.Column("allowed_hosts", JSONB()))
    op.add_column("secret", sa.Column("hosts", JSONB(), nullable=False, server_default="{}"))
    connection = op.get_bind()
    for org_id, kind, spec in list(connection.execute(sa.text(_CONNECTIONS))):
        for name, url in _uses(kind, spec):
            hosts = json.dumps(dict.fromkeys(_host(url)))
            parameters = {"hosts": hosts, "org_id": org_id, "name": name}
            connection.execute(sa.text(_UPDATE), parameters)


def _uses(kind: str, spec: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if kind == "Provider":
        if "apiKey" in spec:
            yield spec["apiKey"], spec.get("baseUrl") or _OWN_URLS.get(spec["type"], "")
        return
    where = spec["connection"] if kind == "ApiConnection" else spec
    for field in ("apiKey", "username", "password", "auth"):
        if field in where:
            for url in ("baseUrl", "tokenUrl", "url"):
                if url in where:
                    yield where[field], where[url]
    for value in where.get("headers", {}).values():
        if isinstance(value, dict):
            yield value["secret"], where.get("baseUrl") or where["url"]


def _host(url: str) -> list[str]:
    try:
        parts = urlsplit(url)
        name = (parts.hostname or "").rstrip(".").encode("idna").decode()
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return []  # nothing was ever sent there
    shown = f"[{name}]" if ":" in name else name
    return [f"{shown}:{port}"] if name else []


def downgrade() -> None:
    for column in ("hosts", "allowed_hosts", "usable_by", "value_by"):
        op.drop_column("secret", column)

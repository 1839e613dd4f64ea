"""A host of a Secret without a scheme is one for https: those that are sent to over http say so.

What is there stays beside it, for processes of the release before.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

_CLEAR = "http://"
_CONNECTIONS = """
SELECT org_id, kind, spec FROM resource WHERE kind IN ('Provider', 'ApiConnection', 'McpServer')
"""
_SECRETS = "SELECT id, org_id, name, allowed_hosts, hosts FROM secret"
_UPDATE = """
UPDATE secret SET allowed_hosts = CAST(:declared AS jsonb), hosts = CAST(:learned AS jsonb)
WHERE id = :id
"""


def upgrade() -> None:
    connection = op.get_bind()
    urls: dict[tuple[str, str], list[str]] = defaultdict(list)
    for org_id, kind, spec in list(connection.execute(sa.text(_CONNECTIONS))):
        for name, url in _uses(kind, spec):
            urls[org_id, name].append(url)
    for row in list(connection.execute(sa.text(_SECRETS))):
        clear = _clear_hosts(urls[row.org_id, row.name])
        hosts = [host for host in row.hosts if host.endswith(":80") or host in clear]
        learned = {_CLEAR + host: row.hosts[host] for host in hosts}
        declared = row.allowed_hosts and [*row.allowed_hosts, *_declared(row.allowed_hosts, clear)]
        _save(row.id, declared, {**row.hosts, **learned})


def _declared(declared: list[str], clear: set[str]) -> list[str]:
    """What a manifest meant that named a port of http, or a host that is reached by http."""
    named = {host for host in clear if {host, host.rpartition(":")[0]} & set(declared)}
    named |= {host for host in declared if host.endswith(":80")}
    return sorted(_CLEAR + host for host in named)


def _clear_hosts(urls: list[str]) -> set[str]:
    """The hosts with ports that are reached over http alone: whoever has TLS is meant to use it."""
    hosts = [host for url in urls if (host := _host(url)) is not None]
    secure = {host.rpartition(":")[0] for scheme, host in hosts if scheme == "https"}
    return {
        host
        for scheme, host in hosts
        if scheme == "http" and host.rpartition(":")[0] not in secure and not host.endswith(":443")
    }


def _uses(kind: str, spec: dict[str, Any]) -> Iterator[tuple[str, str]]:
    where = spec["connection"] if kind == "ApiConnection" else spec
    named = [where[key] for key in ("apiKey", "username", "password", "auth") if key in where]
    headers = where.get("headers", {}).values()
    named += [value["secret"] for value in headers if isinstance(value, dict)]
    for name in named:
        for key in ("baseUrl", "tokenUrl", "url"):
            if key in where:
                yield name, where[key]


def _host(url: str) -> tuple[str, str] | None:
    try:
        parts = urlsplit(url)
        name = (parts.hostname or "").rstrip(".").encode("idna").decode()
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return None  # nothing was ever sent there
    shown = f"[{name}]" if ":" in name else name
    return parts.scheme, f"{shown}:{port}"


def _save(id_: str, declared: list[str] | None, learned: dict[str, str | None]) -> None:
    said = None if declared is None else json.dumps(declared)
    parameters = {"id": id_, "declared": said, "learned": json.dumps(learned)}
    op.get_bind().execute(sa.text(_UPDATE), parameters)


def downgrade() -> None:
    for row in list(op.get_bind().execute(sa.text(_SECRETS))):
        declared = row.allowed_hosts and list(
            dict.fromkeys(host.removeprefix(_CLEAR) for host in row.allowed_hosts)
        )
        learned = {host.removeprefix(_CLEAR): user for host, user in row.hosts.items()}
        _save(row.id, declared, learned)

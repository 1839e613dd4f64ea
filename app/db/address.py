"""The address of PostgreSQL as asyncpg takes it, and what all our connections are set to."""

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from app.db.pooler import PARAMETER, PooledConnection, is_pooled

# A stuck transaction must never hold a session row for long: the design's two time limits.
SERVER_SETTINGS = {
    "application_name": "statewright",
    "lock_timeout": "2000",
    "idle_in_transaction_session_timeout": "10000",
}
# Whoever waits for PostgreSQL gives up after this: for a connection, and for a statement.
PATIENCE_SECONDS = 5.0
# The server ends a statement by itself so long before that: the connection stays of use then, and
# no statement outlives the process that asked.
MARGIN_SECONDS = 0.5
# What libpq takes in a URL and asyncpg would send to the server, which does not know it.
_LIBPQ_ONLY = (
    "channel_binding",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "load_balance_hosts",
    "require_auth",
    "sslcertmode",
    "sslcompression",
    "sslsni",
    "tcp_user_timeout",
)


def plain_url(database_url: str) -> str:
    """The libpq form (`postgresql://`) of any PostgreSQL URL."""
    _, separator, rest = database_url.partition("://")
    return f"postgresql{separator}{rest}"


def connection_options(
    database_url: str, command_timeout: float | None = PATIENCE_SECONDS
) -> tuple[str, dict[str, Any]]:
    """A URL with libpq's parameters as asyncpg takes it: what it does not know is an option."""
    parts = urlsplit(plain_url(database_url))
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in _LIBPQ_ONLY:
        query.pop(name, None)
    query.pop(PARAMETER, None)
    seconds = query.pop("connect_timeout", "")
    application_name = query.pop("application_name", SERVER_SETTINGS["application_name"])
    timeout = float(seconds) if seconds.isdecimal() else 0.0  # libpq: 0 is no limit
    options: dict[str, Any] = {
        "timeout": min(timeout or PATIENCE_SECONDS, PATIENCE_SECONDS),
        "server_settings": {
            **SERVER_SETTINGS,
            "application_name": application_name,
            **_statement_timeout(query.get("options", ""), command_timeout),
        },
    }
    if is_pooled(database_url):
        options |= {
            "server_settings": {"application_name": application_name},
            "statement_cache_size": 0,
            "connection_class": PooledConnection,
        }
    return parts._replace(query=urlencode(query)).geturl(), options


def _statement_timeout(options: str, command_timeout: float | None) -> dict[str, str]:
    """The server's own limit of a statement, where the URL does not set one."""
    if command_timeout is None:
        return {"statement_timeout": "0"}
    if "statement_timeout" in options:
        return {}
    return {"statement_timeout": str(round((command_timeout - MARGIN_SECONDS) * 1000))}

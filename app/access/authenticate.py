"""From an `Authorization` header to the caller, in one query."""

import hmac

import asyncpg

from app.access.caller import Caller, Scope
from app.access.keys import digest_key, key_id_of
from app.errors import UnauthorizedError

_SCHEMES = ("bearer", "token")

# Nothing is cached: a revoked key is refused at once. Expiry goes by the database's clock.
_FIND = """
SELECT k.digest, k.org_id, k.user_id, u.email, k.scopes
FROM api_key k JOIN "user" u ON u.id = k.user_id
WHERE k.id = $1
  AND k.revoked_at IS NULL
  AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
"""


async def authenticate(pool: asyncpg.Pool, secret_key: str, authorization: str | None) -> Caller:
    """The caller of a request.

    Args:
        pool: where the key is looked up.
        secret_key: keys the HMAC of API keys.
        authorization: the header, `Bearer KEY` or `Token KEY`.

    Raises:
        UnauthorizedError: no key, or an unknown, expired or revoked one. One sentence for all:
            an answer that told them apart would help to guess keys.
    """
    scheme, _, credentials = (authorization or "").strip().partition(" ")
    api_key = credentials.strip()
    key_id = key_id_of(api_key) if scheme.lower() in _SCHEMES else None
    row = await pool.fetchrow(_FIND, key_id) if key_id else None
    if row is None or not hmac.compare_digest(row["digest"], digest_key(secret_key, api_key)):
        raise UnauthorizedError("This needs a valid API key: `Authorization: Bearer KEY`.")
    return Caller(
        org_id=row["org_id"],
        user_id=row["user_id"],
        email=row["email"],
        key_id=key_id or "",
        scopes=frozenset(Scope(scope) for scope in row["scopes"]),
    )

"""The way from an `Authorization` header to the caller."""

import hmac

from app.access.caller import Caller, KeyScope
from app.access.key_cache import KeyCache
from app.access.keys import digest_key, key_id_of
from app.errors import UnauthorizedError

_SCHEMES = ("bearer", "token")


async def authenticate(keys: KeyCache, secret_key: str, authorization: str | None) -> Caller:
    """The caller of a request.

    Args:
        keys: where the key is looked up.
        secret_key: keys the HMAC of API keys.
        authorization: the header, `Bearer KEY` or `Token KEY`.

    Raises:
        UnauthorizedError: no key, or an unknown, expired, revoked or undeployed one. One sentence
            for all: an answer that differed would help to guess keys.
    """
    scheme, _, credentials = (authorization or "").strip().partition(" ")
    api_key = credentials.strip()
    key_id = key_id_of(api_key) if scheme.lower() in _SCHEMES else None
    row = await keys.find(key_id) if key_id else None
    if row is None or not hmac.compare_digest(row["digest"], digest_key(secret_key, api_key)):
        raise UnauthorizedError("This needs a valid API key: `Authorization: Bearer KEY`.")
    return Caller(
        org_id=row["org_id"],
        user_id=row["user_id"],
        email=row["email"],
        key_id=key_id or "",
        scopes=frozenset(KeyScope(scope) for scope in row["scopes"]),
        quotas=row["quotas"] or {},
        used_up=row["used_up"] or {},
    )

"""What differs behind a transaction pooler, such as PgBouncer with `pool_mode = transaction`.

Said by the URL: `postgresql://…:6432/statewright?pooler=transaction`. Such a pooler may give each
transaction another connection of the server: a prepared statement is gone after it, and so is
whatever a session keeps. So there are no named statements, no parameters of the session, and each
statement that is alone has a transaction of its own. `LISTEN` and locks of a session do not work.
"""

from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
from typing_extensions import override

PARAMETER = "pooler"
_TRANSACTION = "transaction"


class SessionNeededError(RuntimeError):
    """What is to be done needs a connection of its own to PostgreSQL, not one of a pooler."""


class PooledConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """A connection to a pooler: a statement is prepared in the transaction that runs it."""

    @override
    async def fetch(self, *args: Any, **options: Any) -> Any:
        async with self._one_transaction():
            return await super().fetch(*args, **options)

    @override
    async def fetchrow(self, *args: Any, **options: Any) -> Any:
        async with self._one_transaction():
            return await super().fetchrow(*args, **options)

    @override
    async def fetchval(self, *args: Any, **options: Any) -> Any:
        async with self._one_transaction():
            return await super().fetchval(*args, **options)

    @override
    async def execute(self, query: str, *args: Any, **options: Any) -> Any:
        if not args:  # it is sent as it is; BEGIN itself is
            return await super().execute(query, **options)
        async with self._one_transaction():
            return await super().execute(query, *args, **options)

    @override
    async def set_type_codec(self, *args: Any, **options: Any) -> None:
        async with self._one_transaction():
            await super().set_type_codec(*args, **options)

    def _one_transaction(self) -> AbstractAsyncContextManager[Any]:
        transaction: AbstractAsyncContextManager[Any] = self.transaction()
        return nullcontext() if self.is_in_transaction() else transaction


def is_pooled(database_url: str) -> bool:
    """Whether a transaction pooler is between.

    Raises:
        ValueError: it is said to be of a kind that is not known.
    """
    (kind,) = parse_qs(urlsplit(database_url).query).get(PARAMETER, [""])[:1]
    if kind not in ("", _TRANSACTION):
        raise ValueError(f"the database URL's `{PARAMETER}` is `{_TRANSACTION}`, or is left out")
    return kind == _TRANSACTION


def check_session(database_url: str) -> None:
    """Raises `SessionNeededError` where a transaction pooler is between."""
    if is_pooled(database_url):
        raise SessionNeededError(
            "A transaction pooler cannot do this: set STATEWRIGHT_DATABASE_DIRECT_URL to the"
            " address of PostgreSQL itself."
        )

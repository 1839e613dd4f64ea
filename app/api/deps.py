"""What endpoints depend on, as annotated types: `async def get(caller: Reader, db: DbDep)`."""

from collections.abc import AsyncIterator, Callable
from typing import Annotated

from fastapi import Depends, Header, Query, Request, Security
from redis.asyncio import Redis
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access.caller import Caller, KeyScope
from app.api.http.api_key import ApiKey
from app.api.http.keyed import begin, keyed_request
from app.api.journaled import journal_of
from app.db.engine import Database
from app.idempotency.request import KeyedRequest
from app.sessions.runtime import Runtime
from app.settings import Settings


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


async def _redis(request: Request) -> Redis:
    redis: Redis = request.app.state.redis
    return redis


async def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


RuntimeDep = Annotated[Runtime, Depends(_runtime)]
SettingsDep = Annotated[Settings, Depends(_settings)]
DatabaseDep = Annotated[Database, Depends(_database)]
RedisDep = Annotated[Redis, Depends(_redis)]


async def _transaction(request: Request) -> AsyncIterator[AsyncSession]:
    database: Database = request.app.state.database
    async with database.transaction() as db:
        yield db


# The request's one transaction. scope="function": it is committed before the answer is sent,
# so that a failed commit is a failed request; it connects when first used.
DbDep = Annotated[AsyncSession, Depends(_transaction, scope="function")]


# Any valid key. Most endpoints want one of the next two instead.
_READER = ApiKey(KeyScope.READ)
_WRITER = ApiKey(KeyScope.WRITE)
CallerDep = Annotated[Caller, Security(ApiKey())]
Reader = Annotated[Caller, Security(_READER)]
Writer = Annotated[Caller, Security(_WRITER)]


async def _listing(
    request: Request, caller: Annotated[Caller, Security(_READER)]
) -> AsyncIterator[AsyncSession]:
    database: Database = request.app.state.database
    async with database.listing(caller.org_id) as db:
        yield db


# As `DbDep`, for lists and searches: over connections that turns do not need.
ListDb = Annotated[AsyncSession, Depends(_listing, scope="function")]

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        description="The same key with the same request is done once and answered the same.",
    ),
]


def _changes(
    api_key: ApiKey, *, journaled: bool = False
) -> Callable[..., AsyncIterator[AsyncSession]]:
    """The request's one transaction, where it changes something: once for each idempotency key.

    With `journaled` there is an entry of it in the journal; see `app.api.journaled`.
    """

    async def transaction(
        request: Request,
        caller: Annotated[Caller, Security(api_key)],
        idempotency_key: IdempotencyKey = None,
    ) -> AsyncIterator[AsyncSession]:
        runtime: Runtime = request.app.state.runtime
        async with runtime.database.transaction() as db:
            if idempotency_key is not None:
                await begin(request, runtime.answers, db, caller, idempotency_key)
            if not journaled:
                yield db
                return
            async with journal_of(request, db, caller):
                yield db

    return transaction


# As `DbDep`, for what changes something; its router has `KeyedRoute`. Where a change is written by
# the engine, in statements of its own, the answer is kept beside it.
Changes = Annotated[AsyncSession, Depends(_changes(_WRITER, journaled=True), scope="function")]
ChangesOfReader = Annotated[AsyncSession, Depends(_changes(_READER), scope="function")]


async def _keyed(
    request: Request, caller: CallerDep, idempotency_key: IdempotencyKey = None
) -> KeyedRequest | None:
    if idempotency_key is None:
        return None
    return await keyed_request(request, caller, idempotency_key)


# The request's key, where the domain has the transaction.
Keyed = Annotated[KeyedRequest | None, Depends(_keyed)]

Wait = Annotated[
    float, Query(ge=0, le=30, description="Hold the answer so many seconds for something new.")
]
PageToken = Annotated[
    str | None,
    Query(max_length=500, description="`next_token` of the page before; none: the first page"),
]
FailedStep = Annotated[
    str | None,
    Query(
        max_length=1000,
        description="Path of a step that must be one of those that are done again; none: any.",
        examples=["/1"],
    ),
]
PageSize = Annotated[int, Query(ge=1, le=200, description="Most items of one page.")]

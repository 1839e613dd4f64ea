"""Carries out one verb: the broker, the scope, one transaction, one journal entry."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access.caller import Caller, KeyScope
from app.access.crypto import Vault
from app.errors import StatewrightError
from app.idempotency.answers import KeptAnswer
from app.idempotency.request import KeyedRequest
from app.manifests.context import Context
from app.manifests.journal import Entry, keep_failure
from app.manifests.registry import AnyBroker, BrokerRegistry
from app.sessions.runtime import Runtime

Verb = Callable[[Context, AnyBroker], Awaitable[Any]]

PAST = {
    "apply": "applied",
    "describe": "described",
    "diff": "compared",
    "get": "got",
    "delete": "deleted",
    "undo": "undone",
    "deploy": "deployed",
    "undeploy": "undeployed",
    "retry": "retried",
    "prompt": "prompted",
}
_OK = 200
_LISTS = ("get", "history", "logs")


@dataclass(frozen=True, slots=True)
class VerbAnswer:
    """The answer of a verb. `thing` is the kind, `key` that of the journal entry."""

    data: Any
    message: str
    thing: str | None
    command: str
    key: str


@dataclass(frozen=True, slots=True)
class ChangeMode:
    """How a verb changes something.

    Attributes:
        dry_run: whether what it changes is rolled back.
        keyed: the request, if it has an idempotency key: done once, and answered the same.
    """

    dry_run: bool = False
    keyed: KeyedRequest | None = None


class VerbRunner:
    """Runs verbs for the callers of one process."""

    def __init__(self, runtime: Runtime, vault: Vault, brokers: BrokerRegistry) -> None:
        self.runtime = runtime
        self.brokers = brokers
        self._vault = vault

    async def run(
        self,
        caller: Caller,
        command: str,
        kind: str,
        name: str | None,
        verb: Verb,
        *,
        mode: ChangeMode | None = None,
    ) -> VerbAnswer:
        """Carries out a verb on a kind.

        Args:
            caller: whose key it is.
            command: the verb's name.
            kind: in any spelling.
            name: of the resource, where the verb is about one.
            verb: carries it out; returns the data of the answer.
            mode: how it changes something, which needs the right to; None: it only reads.

        Raises:
            NotFoundError: there is no such kind.
            VerbNotImplementedError: the kind has no broker, or does not support the verb.
            ForbiddenError: the caller's key does not allow it.
        """
        async with self.journaled(caller, command, name) as entry:
            entry.thing = self.brokers.kind(kind)
            broker = self.brokers.find(kind)
            caller.require(KeyScope.READ if mode is None else broker.write_scope)
            dry_run, keyed = (mode.dry_run, mode.keyed) if mode is not None else (False, None)
            database = self.runtime.database
            lists = command in _LISTS
            begin = database.listing(caller.org_id) if lists else database.transaction()
            async with begin as db:
                if (before := await self.answered_before(db, keyed)) is not None:
                    return before
                async with trial(db, dry_run=dry_run):
                    data = await verb(self.context(db, caller, dry_run=dry_run), broker)
                entry.detail |= {"dryRun": True} if dry_run else {}
                db.add(entry.row(_OK))
                answer = verb_answer(entry, data)
                await self.keep_answer(db, keyed, answer)
            return answer

    async def answered_before(
        self, db: AsyncSession, keyed: KeyedRequest | None
    ) -> VerbAnswer | None:
        """What the same request was answered before, in the transaction that would do it now.

        Raises:
            RequestInProgressError: the same key is at work in another transaction.
            IdempotencyMismatchError: the key came before, with another request.
            AnswerNotKeptError: the request was done, but its answer is not there any more.
        """
        if keyed is None:
            return None
        kept = await self.runtime.answers.find(db, keyed)
        return None if kept is None else VerbAnswer(**orjson.loads(kept.text))

    async def keep_answer(
        self, db: AsyncSession, keyed: KeyedRequest | None, answer: VerbAnswer
    ) -> None:
        """Keeps the answer of a request, if it has a key, in the transaction that did it."""
        if keyed is not None:
            kept = KeptAnswer(_OK, orjson.dumps(answer).decode())
            await self.runtime.answers.keep(db, keyed, kept)

    async def report(
        self, caller: Caller, command: str, collect: Callable[[AsyncSession], Awaitable[Any]]
    ) -> VerbAnswer:
        """Carries out a verb on no resource: status, version, whoami."""
        async with self.journaled(caller, command) as entry:
            caller.require(KeyScope.READ)
            async with self.runtime.database.transaction() as db:
                data = await collect(db)
                db.add(entry.row(_OK))
            return verb_answer(entry, data)

    def context(self, db: AsyncSession, caller: Caller, *, dry_run: bool = False) -> Context:
        """The context for brokers in a transaction."""
        return Context(db, caller, self.runtime, self._vault, self.brokers, dry_run)

    @asynccontextmanager
    async def journaled(
        self, caller: Caller, command: str, name: str | None = None
    ) -> AsyncIterator[Entry]:
        """A verb's entry; if the verb fails, the entry is kept, and named in the error."""
        entry = Entry(caller, command, name=name)
        try:
            yield entry
        except Exception as error:
            await keep_failure(self.runtime.database, entry, error)
            if isinstance(error, StatewrightError):
                error.extra |= {
                    "thing": entry.thing,
                    "metadata": {"command": command, "key": entry.key},
                }
            raise


@asynccontextmanager
async def trial(db: AsyncSession, *, dry_run: bool) -> AsyncIterator[None]:
    """Rolls back what the block changes if it is a dry run; the transaction goes on."""
    if not dry_run:
        yield
        return
    async with db.begin_nested() as savepoint:
        yield
        await savepoint.rollback()


def verb_answer(entry: Entry, data: Any) -> VerbAnswer:
    """The answer of a verb that was carried out."""
    what = " ".join(part for part in (entry.thing, entry.name) if part)
    done = PAST.get(entry.command, f"{entry.command} answered")
    dry = " (dry run)" if entry.detail.get("dryRun") else ""
    message = f"{what} {done} successfully{dry}".strip()
    return VerbAnswer({} if data is None else data, message, entry.thing, entry.command, entry.key)

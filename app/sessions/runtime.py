"""What the API process and the worker process both need to run sessions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

from app.catalog.catalog import FlowCatalog
from app.db.engine import Database
from app.idempotency.answers import Answers
from app.kit.redis import LimitedRedis, open_redis
from app.queue.cancellations import Cancellations
from app.queue.live_workers import LiveWorkers
from app.queue.publisher import StepQueue
from app.queue.wakeups import Wakeups
from app.sessions.locks import SessionLocks
from app.sessions.store.asks import AskStore
from app.sessions.store.store import SessionStore
from app.sessions.store.usage import UsageStore
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class Runtime:
    """The open connections of a process, and the services on top of them."""

    settings: Settings
    database: Database
    redis: LimitedRedis
    store: SessionStore
    usage: UsageStore
    asks: AskStore
    answers: Answers
    catalog: FlowCatalog
    queue: StepQueue
    wakeups: Wakeups
    cancellations: Cancellations
    live_workers: LiveWorkers
    locks: SessionLocks

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: Settings, *, pool_size: int, listen: bool = True
    ) -> AsyncIterator[Self]:
        """Opens everything; closes it at the end. Without `listen` no wake-up is received."""
        namespace = settings.redis_namespace
        async with (
            Database.open(
                settings.database_url, pool_size=pool_size, lists=settings.lists
            ) as database,
            open_redis(settings.redis_url, namespace) as redis,
            FlowCatalog.open(database, settings.flow, settings.flows_package) as catalog,
        ):
            store = SessionStore(database.pool)
            async with Wakeups.open(redis, namespace, store.changed, listen=listen) as wakeups:
                yield cls(
                    settings=settings,
                    database=database,
                    redis=redis,
                    store=store,
                    usage=UsageStore(database.pool),
                    asks=AskStore(database.pool),
                    answers=Answers(settings),
                    catalog=catalog,
                    queue=StepQueue(redis, namespace),
                    wakeups=wakeups,
                    cancellations=Cancellations(redis, namespace),
                    live_workers=LiveWorkers(redis, namespace),
                    locks=SessionLocks(redis, namespace, settings.session),
                )

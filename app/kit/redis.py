"""A Redis client whose commands end soon, and fail at once while the server does not work."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from structlog import get_logger
from typing_extensions import override

from app.kit.concurrency.tasks import end_tasks

log = get_logger(__name__)

# One command ends within this many seconds, connecting and logging in included.
COMMAND_SECONDS = 0.5
_PROBE_SECONDS = 0.25
_MOST_REPAIRS = 1000
_FAILURES = (RedisConnectionError, RedisTimeoutError, OSError)


class LimitedRedis(Redis):
    """A client with a time limit for each command, and a circuit breaker for all of them.

    The first command whose server is not reachable, hung, or refuses it opens the breaker: from
    then on commands fail at once, and a probe in the background closes it when the
    server takes a write again. Pipelines do not pass here; scripts do.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.probe_key = "probe"
        self._probing: asyncio.Task[None] | None = None
        self._repairs: list[Callable[[], Awaitable[None]]] = []
        self._ended = False
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def works(self) -> bool:
        """Whether the server did what the last command asked for."""
        return self._probing is None

    def when_it_works(self, repair: Callable[[], Awaitable[None]]) -> None:
        """Has something done as soon as the server works again, if not too much is to be done."""
        if self._probing is not None and len(self._repairs) < _MOST_REPAIRS:
            self._repairs.append(repair)

    @override
    async def execute_command(self, *args: Any, **options: Any) -> Any:
        if self._ended:  # it would connect anew, and nobody would close that connection
            raise RedisConnectionError("The client is closed.")
        if self._probing is not None:
            raise RedisConnectionError("Redis did not work a moment ago.")
        try:
            return await self._execute(*args, **options)
        except _FAILURES as error:
            self._open_breaker(error)
            raise

    async def end(self) -> None:
        """Closes the connections; commands that run end first, further ones fail."""
        self._ended = True
        if self._probing is not None:
            await end_tasks(self._probing)
        with suppress(TimeoutError):
            async with asyncio.timeout(COMMAND_SECONDS):
                await self._idle.wait()
        with suppress(RedisError, OSError):
            await self.aclose()

    def _open_breaker(self, error: Exception) -> None:
        if self._probing is None and not self._ended:
            log.warning("redis does not work", error=f"{type(error).__name__}: {error}")
            self._probing = asyncio.create_task(self._probe())

    async def _execute(self, *args: Any, **options: Any) -> Any:
        blocks = float(args[-1]) if args[0] == "BLPOP" else 0.0
        self._running += 1
        self._idle.clear()
        try:
            async with asyncio.timeout(COMMAND_SECONDS + blocks):
                return await super().execute_command(  # type: ignore[no-untyped-call]
                    *args, **options
                )
        except NoScriptError:
            raise  # whoever called the script loads it
        except ResponseError as error:
            # It is full, a replica, lacks replicas or its disk, has the keys elsewhere, denies us
            # the command, ...: whatever it is, Redis does not do its part.
            raise RedisConnectionError("Redis refused a command.") from error
        except TimeoutError:
            raise RedisTimeoutError("Redis did not answer in time.") from None
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def _probe(self) -> None:
        while True:
            await asyncio.sleep(_PROBE_SECONDS)
            with suppress(RedisError, OSError):
                await self._execute("SET", self.probe_key, "1", "PX", "1000")
                break
        self._probing = None
        log.info("redis works again")
        repairs, self._repairs = self._repairs, []
        for repair in repairs:
            with suppress(RedisError, OSError):
                await repair()


@asynccontextmanager
async def open_redis(url: str, namespace: str) -> AsyncIterator[LimitedRedis]:
    """A client (bytes in, bytes out) that connects when first used; closed at the end.

    A lost connection is retried twice at once, as after a restart of the server. A timeout is
    not: the command may have been carried out, and callers go on without Redis.

    Args:
        url: where the server is.
        namespace: what the names of all keys start with.
    """
    client = LimitedRedis.from_url(
        url,
        socket_connect_timeout=COMMAND_SECONDS,
        socket_keepalive=True,
        health_check_interval=15,
        retry=Retry(
            ExponentialBackoff(cap=0.1, base=0.02),
            retries=2,
            supported_errors=(RedisConnectionError,),
        ),
    )
    client.probe_key = f"{namespace}:probe"
    try:
        yield client
    finally:
        await client.end()

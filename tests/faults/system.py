"""PostgreSQL, Valkey, two APIs, two workers: real processes that a test kills and starts again."""

import asyncio
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import httpx
from redis.asyncio import Redis

from app.access.service import create_key
from app.db.engine import Database
from app.db.migrate import migrate
from app.dev.postgres import Postgres
from app.dev.process import free_port
from app.dev.servers import Api, Worker, child_environment
from app.dev.valkey import Valkey
from app.settings import Settings
from app.settings.http import ApiSettings

T = TypeVar("T")
Part = Postgres | Valkey | Api | Worker

WORD_SECONDS = 0.1  # `echo` pauses so long before each further word: long messages take long
MAX_ATTEMPTS = 3
MAX_LOSSES = 2
LEASE_SECONDS = 2.0
DRAIN_SECONDS = 2
PATIENCE = 40.0  # for what must come in the end, on a loaded machine

# The second API and the second worker differ from the first, and from the database's server.
CLOCKS = {"api-1": 3600.0, "worker-1": -3600.0}
_WRONG_CLOCK = str(Path(__file__).parents[1] / "support" / "wrong_clock")
# Processes are killed here, the machine is not: what PostgreSQL wrote, it will read.
_FAST = {"fsync": "off", "full_page_writes": "off"}
_ENVIRONMENT = {
    "STATEWRIGHT_STEP__LEASE_SECONDS": str(LEASE_SECONDS),
    "STATEWRIGHT_STEP__SWEEP_SECONDS": "0.2",
    "STATEWRIGHT_STEP__REPUBLISH_SECONDS": "0.5",
    "STATEWRIGHT_STEP__MAX_ATTEMPTS": str(MAX_ATTEMPTS),
    "STATEWRIGHT_STEP__MAX_LOSSES": str(MAX_LOSSES),
    "STATEWRIGHT_WORKER__SUSPECTS": "20",  # killed are the workers, not by their steps
    "STATEWRIGHT_LLM__ECHO_DELAY_SECONDS": str(WORD_SECONDS),
    "STATEWRIGHT_WORKER__DRAIN_SECONDS": str(DRAIN_SECONDS),
    "STATEWRIGHT_SECURITY__EGRESS_ALLOW": "127.0.0.0/8",
}


async def until(
    ask: Callable[[], Awaitable[T | None]], *, what: str, seconds: float = PATIENCE
) -> T:
    """Ask until the answer is true, and return it."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not (answer := await ask()):
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        await asyncio.sleep(0.05)
    return answer


class System:
    """All parts of one deployment. `heal` makes it whole again after a test.

    Args:
        directory: where its data and logs are.
        environment: further settings of APIs and workers.
        clocks: by how many seconds those of some processes are fast; by their names.
        pairs: how many APIs, and as many workers.
    """

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str] | None = None,
        clocks: Mapping[str, float] | None = None,
        pairs: int = 2,
    ) -> None:
        self._directory = directory
        self.postgres = Postgres(
            directory,
            name=secrets.token_hex(8),
            password=secrets.token_hex(16),
            superuser_password=secrets.token_hex(16),
            log=directory / "postgres.log",
            options=_FAST,
        )
        self.valkey = Valkey(
            directory, password=secrets.token_hex(16), log=directory / "valkey.log"
        )
        self.apis: list[Api] = []
        self.workers: list[Worker] = []
        self.base_urls: list[str] = []
        self.api_key = ""
        self._extra = dict(environment or {})
        self._clocks = dict(clocks or {})
        self._pairs = pairs

    async def _add_pair(self, number: int) -> None:
        name, port = f"api-{number}", free_port()
        base_url = f"http://127.0.0.1:{port}"
        self.base_urls.append(base_url)
        environment = await self._environment(name, port)
        log = self._directory / f"{name}.log"
        self.apis.append(Api(base_url=base_url, log=log, environment=environment))
        name = f"worker-{number}"
        environment = await self._environment(name, port)
        log = self._directory / f"{name}.log"
        self.workers.append(Worker(name, log=log, environment=environment))

    async def _environment(self, name: str, port: int) -> dict[str, str]:
        database_url, redis_url = await self.addresses_for(name)
        settings = Settings(
            database_url=database_url, redis_url=redis_url, dev=True, api=ApiSettings(port=port)
        )
        return child_environment(settings) | _ENVIRONMENT | self._extra | self._clock_of(name)

    def _clock_of(self, name: str) -> dict[str, str]:
        if name not in self._clocks:
            return {}
        return {"PYTHONPATH": _WRONG_CLOCK, "WRONG_CLOCK_SECONDS": str(self._clocks[name])}

    async def addresses_for(self, name: str) -> tuple[str, str]:
        """Where the process of that name finds PostgreSQL and Redis."""
        return self.postgres.url, self.valkey.url

    @property
    def parts(self) -> list[Part]:
        """In the order in which they start."""
        return [self.postgres, self.valkey, *self.apis, *self.workers]

    async def set_up(self) -> None:
        """Start everything, with an empty database and a key."""
        await asyncio.gather(self.postgres.start(), self.valkey.start())
        await migrate(self.postgres.url)
        for number in range(self._pairs):
            await self._add_pair(number)
        async with Database.open(self.postgres.url) as database, database.transaction() as db:
            settings = Settings(dev=True)
            key = await create_key(db, settings, org="Acme", user="ann@acme.example")
        self.api_key = key.api_key
        await self.heal()

    async def heal(self) -> None:
        """Continue what was stopped, start what was killed, forget all sessions."""
        for log in self._logs():
            log.write_bytes(b"")  # processes append
        await self.restore()
        await self.query("TRUNCATE session CASCADE")

    async def restore(self) -> None:
        """Continue what was stopped, start what was killed."""
        for part in self.parts:
            self.resume(part)
        stages: list[list[Part]] = [[self.postgres, self.valkey], [*self.apis, *self.workers]]
        for stage in stages:
            await asyncio.gather(*(part.start() for part in stage if not part.process.is_running))
        served: list[Postgres | Valkey | Api] = [self.postgres, self.valkey, *self.apis]
        for service in served:
            await until(service.is_healthy, what=f"{service.process.name} is up")

    async def tear_down(self) -> None:
        """Kill everything."""
        for part in reversed(self.parts):
            self.resume(part)
            await part.process.stop()

    async def kill(self, part: Part) -> None:
        """SIGKILL, and wait for the end."""
        self.send(part, signal.SIGKILL)
        await part.process.wait()

    def pause(self, part: Part) -> None:
        """SIGSTOP."""
        self.send(part, signal.SIGSTOP)

    def resume(self, part: Part) -> None:
        """SIGCONT."""
        if part.process.is_running:
            self.send(part, signal.SIGCONT)

    def send(self, part: Part, number: signal.Signals) -> None:
        """Send a signal."""
        assert part.process.pid is not None, f"{part.process.name} does not run"
        with suppress(ProcessLookupError):  # it ended by itself at this moment
            os.kill(part.process.pid, number)

    async def apply(self, documents: Sequence[str]) -> None:
        """Apply manifests."""
        headers = {"Authorization": f"Bearer {self.api_key}"}
        async with httpx.AsyncClient(headers=headers, trust_env=False, timeout=20) as http:
            for document in documents:
                url = f"{self.base_urls[0]}/api/v1/cli/apply/"
                answer = await http.post(url, content=document)
                assert answer.is_success, answer.text

    async def query(self, sql: str, *arguments: Any) -> list[Any]:
        """Rows of the database."""
        connection = await asyncpg.connect(self.postgres.url)
        try:
            rows: list[Any] = await connection.fetch(sql, *arguments)
            return rows
        finally:
            await connection.close()

    async def query_script(self, sql: str) -> None:
        """Run many statements at once, without results."""
        connection = await asyncpg.connect(self.postgres.url)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    async def value(self, sql: str, *arguments: Any) -> Any:
        """The only value of the only row."""
        return (await self.query(sql, *arguments))[0][0]

    async def step_of(self, thread_id: str) -> Any:
        """The newest step of a thread; `age` is the seconds since its last claim."""
        rows = await self.query(
            "SELECT *, extract(epoch FROM clock_timestamp() - published_at)::float8 AS age "
            "FROM step WHERE session_id = $1 ORDER BY id DESC LIMIT 1",
            thread_id,
        )
        return rows[0] if rows else None

    async def until_running(self, thread_id: str, attempt: int = 1) -> None:
        """Wait until a worker is in the middle of the thread's step, at that attempt."""

        async def is_running() -> bool:
            step = await self.step_of(thread_id)
            return step is not None and (step["status"], step["attempt"]) == ("running", attempt)

        await until(is_running, what=f"attempt {attempt} of the step of {thread_id}")

    async def flush_redis(self) -> None:
        """FLUSHALL."""
        async with Redis.from_url(self.valkey.url) as redis:
            await redis.flushall()

    def logs(self) -> str:
        """What APIs and workers logged since all was healed."""
        return "".join(log.read_text() for log in self._logs() if log.exists())

    def _logs(self) -> list[Path]:
        return [*(api.process.log for api in self.apis), *(w.process.log for w in self.workers)]


@asynccontextmanager
async def running_system(pairs: int = 2) -> AsyncIterator[System]:
    """A system while the block lasts."""
    directory = Path(tempfile.mkdtemp(prefix="statewright-faults-"))
    system = System(directory, clocks=CLOCKS, pairs=pairs)
    try:
        await system.set_up()
        yield system
    finally:
        await system.tear_down()
        shutil.rmtree(directory)
        shutil.rmtree(system.postgres.home.directory, ignore_errors=True)

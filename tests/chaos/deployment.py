"""The deployment under chaos: all processes behind proxies, the upstream, the audit."""

import asyncio
import contextlib
import random
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from typing_extensions import override

from app.dev.postgres_role import ROLE
from tests.chaos import audit
from tests.chaos.upstream import CALL_SECONDS, Upstream
from tests.faults.system import System
from tests.support.stalling_proxy import StallingProxy

LEASE_SECONDS = 4.0
MAX_ATTEMPTS = 4
MAX_LOSSES = 8
EPHEMERAL_SECONDS = 25

_MANIFESTS = Path(__file__).with_name("flows") / "manifests.yaml"
_DISK_MB = 24
_WRONG_CLOCKS = (-3600.0, -0.3, 0.3, 3600.0)  # seconds


def environment_of(upstream: Upstream) -> dict[str, str]:
    """Settings with which sessions call the upstream, and faults show soon."""
    return {
        "STATEWRIGHT_STEP__LEASE_SECONDS": str(LEASE_SECONDS),
        "STATEWRIGHT_STEP__TIMEOUT_SECONDS": str(CALL_SECONDS),
        "STATEWRIGHT_STEP__MAX_ATTEMPTS": str(MAX_ATTEMPTS),
        "STATEWRIGHT_STEP__MAX_LOSSES": str(MAX_LOSSES),
        "STATEWRIGHT_WORKER__SUSPECTS": "20",
        "STATEWRIGHT_STEP__BACKOFF_SECONDS": "0.2",
        "STATEWRIGHT_STEP__BACKOFF_MAX_SECONDS": "2",
        "STATEWRIGHT_SESSION__EPHEMERAL_TTL_SECONDS": str(EPHEMERAL_SECONDS),
        "STATEWRIGHT_SESSION__EXPIRE_SWEEP_SECONDS": "1",
        "PYTHONFAULTHANDLER": "1",
        "STATEWRIGHT_WORKER__DRAIN_SECONDS": "3",
        "STATEWRIGHT_FLOWS_PACKAGE": "tests.chaos.flows",
        "STATEWRIGHT_LLM__PROVIDER": "openai",
        "STATEWRIGHT_LLM__BASE_URL": f"{upstream.url}/v1",
        "STATEWRIGHT_LLM__MODEL": "test-model",
        "STATEWRIGHT_LLM__API_KEY": "key",
        "STATEWRIGHT_SECURITY__EGRESS_ALLOW": "127.0.0.0/8",
    }


@dataclass(frozen=True)
class Ways:
    """The proxies between one process and what it needs."""

    postgres: StallingProxy
    redis: StallingProxy


class Deployment(System):
    """PostgreSQL, Valkey, two APIs and two workers; each process has ways of its own to the first.

    Args:
        directory: where data and logs are.
        environment: settings of APIs and workers.
        clocks: by how many seconds those of some processes are fast; by their names.
        stack: what is closed at the end.

    Attributes:
        complaints: what its processes did that must not be.
        has_disk: whether there is a disk that can be filled.
    """

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str],
        clocks: Mapping[str, float],
        stack: AsyncExitStack,
    ) -> None:
        super().__init__(directory, environment, clocks)
        self._stack = stack
        self.ways: dict[str, Ways] = {}
        self.disk = directory / "disk"
        self.has_disk = False
        self.complaints: list[str] = []

    @override
    async def addresses_for(self, name: str) -> tuple[str, str]:
        ways = Ways(
            await self._stack.enter_async_context(StallingProxy.open(self.postgres.url)),
            await self._stack.enter_async_context(StallingProxy.open(self.valkey.url)),
        )
        self.ways[name] = ways
        return ways.postgres.url, ways.redis.url

    @override
    async def set_up(self) -> None:
        await super().set_up()
        await self._use_small_disk()
        await audit.set_up(self)

    @override
    async def restore(self) -> None:
        for ways in self.ways.values():
            ways.postgres.flowing.set()
            ways.redis.flowing.set()
        await super().restore()

    async def _use_small_disk(self) -> None:
        """Keep the tables of turns on a disk that can be filled, where this user may mount one."""
        self.disk.mkdir()
        mounting = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m", "tmpfs", str(self.disk)]
        mounted = await asyncio.to_thread(
            subprocess.run, mounting, capture_output=True, check=False
        )
        if mounted.returncode:
            return
        self._stack.callback(self._unmount)
        place = self.disk / "tables"
        place.mkdir(mode=0o700)
        for directory in (self._directory, self.disk):
            directory.chmod(0o711)
        self.postgres.home.give(place)
        superuser = await asyncpg.connect(self.postgres.superuser_url)
        try:
            await superuser.execute(f"CREATE TABLESPACE small OWNER {ROLE} LOCATION '{place}'")
        finally:
            await superuser.close()
        for table in ("session", "event", "transition", "message", "invocation", "step"):
            await self.query(f"ALTER TABLE {table} SET TABLESPACE small")
        self.has_disk = True

    def _unmount(self) -> None:
        subprocess.run(["umount", "-l", str(self.disk)], capture_output=True, check=False)


def flows_of(upstream: Upstream) -> list[str]:
    """The flows that sessions of the chaos run run."""
    return (_MANIFESTS.read_text() % {"url": upstream.url}).split("\n---\n")


@asynccontextmanager
async def running_deployment(
    directory: Path, upstream: Upstream, seed: int
) -> AsyncIterator[Deployment]:
    """A deployment while the block lasts; its second API and worker have clocks by seed."""
    rng = random.Random(f"clocks {seed}")
    clocks = {name: rng.choice(_WRONG_CLOCKS) for name in ("api-1", "worker-1")}
    async with AsyncExitStack() as stack:
        deployment = Deployment(directory, environment_of(upstream), clocks, stack)
        try:
            await deployment.set_up()
            yield deployment
        finally:
            for ways in deployment.ways.values():
                ways.postgres.flowing.set()
                ways.redis.flowing.set()
            with contextlib.suppress(ProcessLookupError):
                await deployment.tear_down()

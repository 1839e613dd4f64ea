"""What is measured: `statewright dev` with its real processes, and the floor on its database."""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from app.dev.process import free_port
from app.settings import environment_with
from bench.meter import Meter

_HERE = Path(__file__).parent.parent
_UP_SECONDS = 60.0
_QUIET = {"STATEWRIGHT_LOG_LEVEL": "WARNING"}


class Stack:
    """A running `statewright dev`. `state` is its dev.json."""

    def __init__(self, state: dict[str, Any], db: asyncpg.Connection, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.base: str = state["base_url"]
        self.token: str = state["api_key"]
        self.database_url: str = state["database_url"]
        pids = state["pids"]
        roles = {
            "api": [pids["api"]],
            "worker": pids["workers"],
            "postgres": [pids["postgres"]],
            "redis": [pids["redis"]],
        }
        self.pids = {role: [pid for pid in ids if pid] for role, ids in roles.items()}
        self.meter = Meter(self.pids, db)
        self._db = db

    async def execute(self, sql: str, *arguments: object) -> None:
        """Writes rows that the service itself would take long to make."""
        await self._db.execute(sql, *arguments)


@asynccontextmanager
async def running_stack(
    workers: int, code: Path = _HERE, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Stack]:
    """Start everything on an empty database, on free ports; stop and delete it at the end.

    `code` is the checkout that is run; `environment` holds settings for it.
    """
    with _data_dir() as data_dir:
        command = ["app.cli", "dev", "--port", "0", "--workers", str(workers)]
        state_file = data_dir / "dev.json"
        variables = {**_QUIET, **(environment or {})}
        with _process([*command, "--data-dir", str(data_dir)], variables, code) as dev:
            await _until(state_file.exists, dev)
            state = json.loads(state_file.read_text())
            db = await asyncpg.connect(state["database_url"])
            try:
                yield Stack(state, db, data_dir)
            finally:
                await db.close()


@asynccontextmanager
async def running_floor(database_url: str) -> AsyncIterator[str]:
    """Start the floor; its base URL."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with _process(["bench.floor", database_url, str(port)], {}, _HERE) as floor:
        await _until(lambda: answers(f"{base}/docs"), floor)
        yield base


def answers(url: str) -> bool:
    """Whether a GET succeeds."""
    try:
        return httpx.get(url, trust_env=False, timeout=2).is_success
    except httpx.TransportError:
        return False


@contextmanager
def _data_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="statewright-bench-") as directory:
        # Run by root, PostgreSQL is another user's, who must get to its data here.
        Path(directory).chmod(0o711)
        yield Path(directory) / "data"


@contextmanager
def _process(
    module: list[str], environment: Mapping[str, str], code: Path
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", *module],
        cwd=code,
        env=environment_with(environment),
        stdout=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


async def _until(condition: Any, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _UP_SECONDS
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"did not start: {process.args}")
        await asyncio.sleep(0.1)

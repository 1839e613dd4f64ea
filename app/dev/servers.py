"""Statewright's own processes as children of `statewright dev`: the API, and workers."""

import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from app.dev.process import Process
from app.kit.certificates import NO_CERTIFICATES
from app.settings import Settings, environment_with

_START_SECONDS = 30.0
_STOP_SECONDS = 2.0  # steps that still run are taken up again at the next start


class _Server:
    """A process of the command `statewright <command>`."""

    def __init__(
        self, name: str, command: str, *, log: Path, environment: Mapping[str, str]
    ) -> None:
        arguments = [sys.executable, "-m", "app.cli", command]
        self.process = Process(name, arguments, log=log, environment=environment)

    async def stop(self) -> None:
        """Lets what still runs end, but not for long."""
        await self.process.stop((signal.SIGTERM, _STOP_SECONDS))


class Worker(_Server):
    """A worker process."""

    def __init__(self, name: str, *, log: Path, environment: Mapping[str, str]) -> None:
        super().__init__(name, "worker", log=log, environment=environment)

    async def start(self) -> None:
        """Starts; that it serves shows in the API's `/health/ready`."""
        await self.process.start()


class Api(_Server):
    """The API process."""

    def __init__(self, *, base_url: str, log: Path, environment: Mapping[str, str]) -> None:
        super().__init__("api", "api", log=log, environment=environment)
        self._base_url = base_url

    async def start(self) -> None:
        """Starts and waits until it answers.

        Raises:
            StartError: it did not come up.
        """
        await self.process.start()
        await self.process.wait_until(self.is_healthy, seconds=_START_SECONDS)

    async def is_healthy(self) -> bool:
        """Whether it answers."""
        return await _answers(f"{self._base_url}/health/live")

    async def is_ready(self) -> bool:
        """Whether everything that a turn needs is there."""
        return await _answers(f"{self._base_url}/health/ready")


async def _answers(url: str) -> bool:
    async with httpx.AsyncClient(verify=NO_CERTIFICATES, trust_env=False, timeout=5) as client:
        try:
            return (await client.get(url)).is_success
        except httpx.TransportError:
            return False


def child_environment(settings: Settings) -> dict[str, str]:
    """The environment in which a child finds these settings, where they differ from the outer."""
    return environment_with(
        {
            "STATEWRIGHT_DEV": "true",
            "STATEWRIGHT_DATABASE_URL": settings.database_url,
            "STATEWRIGHT_REDIS_URL": settings.redis_url,
            "STATEWRIGHT_API__PORT": str(settings.api.port),
            "STATEWRIGHT_SECURITY__SECRET_KEY": settings.security.secret_key.get_secret_value(),
            "STATEWRIGHT_SECURITY__ENCRYPTION_KEYS": ",".join(
                key.get_secret_value() for key in settings.security.encryption_keys
            ),
        }
    )

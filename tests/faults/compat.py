"""Runs an earlier commit's API and worker beside this tree's, each way and all together.

    make compat REV=1bd7663

Exits with 1 if a turn is lost, fails, or is not answered the same.
"""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from typing_extensions import override

from tests.faults.system import System
from tests.support.flows import Session
from tests.support.threads import answered, texts

_ROOT = Path(__file__).parents[2]
_TURNS = 6
_SECONDS = 120.0


class _TwoReleases(System):
    """This tree in the first API and worker, the earlier commit in the second."""

    def __init__(self, directory: Path, earlier: Path) -> None:
        super().__init__(directory, {"STATEWRIGHT_FLOWS_PACKAGE": "tests.support.engine_flows"})
        self._earlier = earlier

    @override
    async def _environment(self, name: str, port: int) -> dict[str, str]:
        environment = await super()._environment(name, port)
        root = self._earlier if name.endswith("1") else _ROOT
        environment |= {"PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"}  # not this directory
        assert _place_of_app(environment).is_relative_to(root)
        return environment


def _place_of_app(environment: dict[str, str]) -> Path:
    command = [sys.executable, "-c", "import app; print(app.__file__)"]
    found = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return Path(found.stdout.decode().strip())


def _check_out(revision: str, directory: Path) -> None:
    directory.mkdir()
    archive = subprocess.run(
        ["git", "archive", revision], cwd=_ROOT, stdout=subprocess.PIPE, check=True
    )
    subprocess.run(["tar", "x"], cwd=directory, input=archive.stdout, check=True)


@asynccontextmanager
async def _two_releases(revision: str) -> AsyncIterator[_TwoReleases]:
    with tempfile.TemporaryDirectory(prefix="statewright-compat-") as temporary:
        earlier = Path(temporary) / "earlier"
        _check_out(revision, earlier)
        system = _TwoReleases(Path(temporary), earlier)
        try:
            await system.set_up()
            yield system
        finally:
            await system.tear_down()


async def _turns(client: httpx.AsyncClient) -> None:
    """Threads, a chain and a map, at once."""
    numbers = "[0, 1, 2, 3]"

    async def thread() -> None:
        assert texts(await answered(client, "Hi")) == ["Hi", "[echo model] You said: Hi"]

    async def flow(name: str, said: str, response: str) -> None:
        session = await Session.start(client, name)
        for _ in range(2):
            answer = await session.send("go", said)
            assert (answer["error"], answer["response"]) == (None, response), answer

    await asyncio.gather(
        *(thread() for _ in range(_TURNS)),
        *(flow("chained", "hi", '<{"n": 2}/3|{"n": 2}/3>') for _ in range(_TURNS)),
        *(flow("given", numbers, numbers) for _ in range(_TURNS)),
    )


async def main(revision: str) -> None:
    """Each pair, then all."""
    async with _two_releases(revision) as system, asyncio.timeout(_SECONDS):
        new_worker, old_worker = system.workers
        for name, api, stopped in (
            ("new API, old worker", 0, new_worker),
            ("old API, new worker", 1, old_worker),
            ("old API, both workers", 1, None),
            ("new API, both workers", 0, None),
        ):
            await system.heal()
            if stopped is not None:
                await system.kill(stopped)
            async with httpx.AsyncClient(
                base_url=system.base_urls[api],
                headers={"Authorization": f"Bearer {system.api_key}"},
                timeout=60,
                trust_env=False,
            ) as client:
                try:
                    await _turns(client)
                except BaseException:
                    sys.stdout.write(system.logs())
                    raise
            sys.stdout.write(f"{name}: all turns are answered\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

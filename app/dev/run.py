"""`statewright dev`: everything on one machine, in the foreground."""

import asyncio
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from app.db.migrate import migrate
from app.dev.data_dir import DataDir
from app.dev.embedded import Embedded
from app.dev.first_run import ensure_example, ensure_key, example_line
from app.dev.process import StartError, free_port
from app.dev.servers import Api, Worker, child_environment
from app.dev.supervisor import Supervisor
from app.settings import Settings

_READY_SECONDS = 15.0


def run_dev(
    settings: Settings, *, data_dir: Path, workers: int, say: Callable[[str], None]
) -> None:
    """Runs until SIGINT, SIGTERM or SIGHUP; all children are gone when this returns.

    Args:
        settings: what the environment says: a database or Redis named there is not embedded. The
            API listens at `settings.api.port`; 0 takes a free one.
        data_dir: where everything is kept from one start to the next.
        workers: how many worker processes.
        say: shows one line to the person who watches.

    Raises:
        StartError: it cannot run; the message says why.
    """
    with suppress(asyncio.CancelledError):
        asyncio.run(_run(Dev(settings, DataDir(data_dir), workers, say)))


async def _run(dev: "Dev") -> None:
    this = asyncio.current_task()

    def stop() -> None:
        # Only the first signal counts: stopping is bounded in time, and must come to its end.
        if this and not this.cancelling():
            this.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    await dev.run()


class Dev:
    """One run of `statewright dev`."""

    def __init__(
        self, settings: Settings, data_dir: DataDir, workers: int, say: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._data_dir = data_dir
        self._worker_count = workers
        self._is_up = False
        self._say = say
        self._supervisor = Supervisor(say=say, changed=self._republish)

    async def run(self) -> None:
        """Starts everything, says what is up, and stays until cancelled."""
        with self._data_dir.locked():
            self._data_dir.unpublish()
            self._choose_port()
            try:
                await self._start()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self._say("Stopping.")
                raise
            finally:
                await self._supervisor.stop()
                self._data_dir.unpublish()

    def _choose_port(self) -> None:
        api = self._settings.api
        port = api.port or free_port(api.host)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((api.host, port))
            except OSError as error:
                raise StartError(
                    f"Port {port} cannot be used: {error.strerror}. Choose another with --port."
                ) from None
        chosen = api.model_copy(update={"port": port})
        self._settings = self._settings.model_copy(update={"api": chosen})
        self._base_url = f"http://{_reachable(api.host)}:{port}"

    async def _start(self) -> None:
        self._kept = self._data_dir.secrets()
        self._embedded = Embedded(self._settings, self._data_dir, self._kept)
        self._settings = self._embedded.settings
        await self._supervisor.start(*self._embedded.children())
        for line in self._embedded.places():
            self._say(line)
        await migrate(self._settings.database_url, say=self._say)
        await self._start_servers()
        await ensure_key(self._settings, self._base_url, self._data_dir, self._kept)
        agent_id = await ensure_example(self._base_url, self._kept.api_key or "")
        self._publish()
        self._is_up = True
        self._greet(agent_id)

    async def _start_servers(self) -> None:
        environment = child_environment(self._settings)
        self._api = Api(
            base_url=self._base_url, log=self._data_dir.log("api"), environment=environment
        )
        names = [f"worker-{number}" for number in range(1, self._worker_count + 1)]
        self._workers = [
            Worker(name, log=self._data_dir.log(name), environment=environment) for name in names
        ]
        await self._supervisor.start(self._api, *self._workers)
        await self._wait_until_ready()

    async def _wait_until_ready(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_READY_SECONDS):
                while not await self._api.is_ready():  # noqa: ASYNC110 - another process's state
                    await asyncio.sleep(0.05)
                return
        self._say(f"Not everything is ready: see {self._base_url}/health/ready")

    def _republish(self) -> None:
        if self._is_up:
            self._publish()

    def _publish(self) -> None:
        """Writes dev.json as things are now."""
        self._data_dir.publish(
            {
                "base_url": self._base_url,
                "api_key": self._kept.api_key,
                "org_id": self._kept.org_id,
                "database_url": self._settings.database_url,
                "redis_url": self._settings.redis_url,
                "pids": {
                    "api": self._api.process.pid,
                    "workers": [worker.process.pid for worker in self._workers],
                    **self._embedded.pids(),
                },
            }
        )

    def _greet(self, agent_id: str) -> None:
        key = self._kept.api_key or ""
        pids = ", ".join(str(worker.process.pid) for worker in self._workers)
        self._say(f"API         process {self._api.process.pid}, {self._base_url}")
        self._say(f"Workers     process {pids}")
        self._say(f"Logs        {self._data_dir.logs}")
        self._say(f"Swagger UI  {self._base_url}/docs")
        self._say(f"API key     {key}")
        self._say("Launch the example agent and read its answer:")
        self._say(f"\n{example_line(self._base_url, key, agent_id)}\n")
        self._say("Ctrl-C stops everything; the data stays.")


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - only looked up

"""The embedded PostgreSQL: a real server from a wheel, as a child process on a loopback port."""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from app.db.engine import UNAVAILABLE
from app.dev.attach import DATA_DIR_SETTING
from app.dev.leftover import end_leftover
from app.dev.postgres_home import PostgresHome, postgres_home
from app.dev.postgres_role import DATABASE, ROLE, make_database, take_over
from app.dev.process import Process, StartError, free_port

_SUPERUSER = "statewright"  # was the service's own role once: so it is called in its data still
_ENVIRONMENT = {"LC_ALL": "C"}
_START_SECONDS = 60.0  # recovery after a crash replays the log first


class Postgres:
    """A server on its own data directory; the port stays the same over restarts.

    Args:
        data_dir: an existing directory of ours.
        name: see `postgres_home`.
        password: of the role that the service has, which is no superuser.
        superuser_password: set when the data directory is first made.
        log: file that the server's log is appended to.
        options: server settings, such as `{"fsync": "off"}` for tests.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        name: str,
        password: str,
        superuser_password: str,
        log: Path,
        options: dict[str, str] | None = None,
    ) -> None:
        self.port = free_port()
        place = f"127.0.0.1:{self.port}/{DATABASE}"
        self.url = f"postgresql://{ROLE}:{password}@{place}"
        self.superuser_url = f"postgresql://{_SUPERUSER}:{superuser_password}@{place}"
        self._data_dir = data_dir
        self.home: PostgresHome = postgres_home(data_dir, name)
        self._password = password
        self._superuser_password = superuser_password
        self._options = options or {}
        self._log = log
        self.process = self._server()

    def _server(self) -> Process:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "dynamic_shared_memory_type": "mmap",
            "max_connections": "200",
            DATA_DIR_SETTING: str(self._data_dir),
            **self._options,
        }
        arguments = [word for key, value in options.items() for word in ("-c", f"{key}={value}")]
        return Process(
            "postgres",
            [str(self.home.programs / "postgres"), "-D", str(self.home.data), *arguments],
            log=self._log,
            environment=_ENVIRONMENT,
            directory=self.home.directory,
            user=self.home.user,
            orphan_signal=signal.SIGQUIT,  # immediate: ends its own children, recovers at start
        )

    async def start(self) -> None:
        """Makes the data directory if there is none, starts, and waits until it takes connections.

        Raises:
            StartError: it did not come up.
        """
        await asyncio.to_thread(self.home.install)
        if not self.home.data.exists():
            await self._initialise()
        await asyncio.to_thread(end_leftover, self.home.data)
        await self.process.start()
        await self.process.wait_until(self.is_healthy, seconds=_START_SECONDS)
        await self._make_database()

    async def stop(self) -> None:
        """Ends all connections and shuts down: in order if that takes under 1.5 s, else at once."""
        await self.process.stop((signal.SIGINT, 1.5), (signal.SIGQUIT, 0.5))

    async def is_healthy(self) -> bool:
        """Whether it takes connections.

        Raises:
            StartError: it does, but not with this password.
        """
        try:
            connection = await asyncpg.connect(self._url_of("postgres"), timeout=2)
        except UNAVAILABLE:
            return False
        except asyncpg.InvalidPasswordError:
            raise StartError(
                f"The password kept in {self._data_dir} is not that of the data in "
                f"{self.home.data}: restore secrets.json, or delete the directory to start anew."
            ) from None
        await connection.close()
        return True

    def _url_of(self, database: str) -> str:
        return f"{self.superuser_url.rpartition('/')[0]}/{database}"

    async def _make_database(self) -> None:
        async with self._superuser("postgres") as superuser:
            await make_database(superuser, self._password)
        async with self._superuser(DATABASE) as superuser:
            await take_over(superuser)

    @asynccontextmanager
    async def _superuser(self, database: str) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self._url_of(database), timeout=5, command_timeout=30)
        try:
            yield connection
        finally:
            await connection.close()

    async def _initialise(self) -> None:
        """Runs initdb beside the final place, so that a start that was cut short leaves no half."""
        unfinished = self.home.directory / "data.new"
        await asyncio.to_thread(shutil.rmtree, unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self.home.give(unfinished)
        password_file = self.home.directory / "initdb-password"
        password_file.touch(mode=0o600)
        password_file.write_text(self._superuser_password)
        self.home.give(password_file)
        try:
            await self._run_initdb(unfinished, password_file)
        finally:
            password_file.unlink()
        unfinished.rename(self.home.data)

    async def _run_initdb(self, target: Path, password_file: Path) -> None:
        initdb = Process(
            "initdb",
            [
                *(str(self.home.programs / "initdb"), "-D", str(target), "-U", _SUPERUSER),
                *(f"--pwfile={password_file}", "-A", "scram-sha-256", "-E", "UTF8"),
                *("--locale-provider=builtin", "--locale=C.UTF-8", "--no-instructions"),
                *("-c", "dynamic_shared_memory_type=mmap"),
                "--no-sync",  # a power cut in the first second costs an empty database
            ],
            log=self._log,
            environment=_ENVIRONMENT,
            directory=self.home.directory,
            user=self.home.user,
        )
        try:
            await initdb.start()
            code = await initdb.wait()
        finally:
            await initdb.stop()  # with the server that it runs
        if code:
            raise StartError(f"PostgreSQL could not make its data. {initdb.last_words()}")

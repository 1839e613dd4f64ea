"""The embedded PostgreSQL in the places and after the accidents that a user's machine has."""

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from app.dev.postgres import Postgres
from app.dev.process import StartError
from tests.support.dev import is_alive, wait_for

pytestmark = pytest.mark.slow

SECRET, OTHER_SECRET = "correct-horse", "battery-staple"


def embedded(data_dir: Path, password: str = SECRET) -> Postgres:
    return Postgres(
        data_dir,
        name=f"test-{data_dir.name}",
        password=password,
        superuser_password=password,
        log=data_dir / "postgres.log",
        options={"fsync": "off"},
    )


@pytest.fixture
def data_dir(place: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=place))


@pytest.fixture
async def started() -> AsyncIterator[list[Postgres]]:
    """Put in what the test starts: it is stopped at the end, and its home removed."""
    started: list[Postgres] = []
    yield started
    for postgres in started:
        await postgres.stop()
        shutil.rmtree(postgres.home.directory.parent, ignore_errors=True)


@pytest.fixture
def private_place() -> Iterator[Path]:
    """A directory inside one that only its owner may enter, as under /root."""
    place = Path(tempfile.mkdtemp())
    data_dir = Path(tempfile.mkdtemp(dir=place))
    yield data_dir
    shutil.rmtree(place)


async def test_it_runs_where_only_its_owner_may_go(
    private_place: Path, started: list[Postgres]
) -> None:
    postgres = embedded(private_place)
    started.append(postgres)

    await postgres.start()

    connection = await asyncpg.connect(postgres.url)
    assert await connection.fetchval("SHOW listen_addresses") == "127.0.0.1"
    await connection.close()
    assert private_place.parent.stat().st_mode & 0o777 == 0o700


async def test_a_wrong_password_is_refused_and_none_is_in_sight(
    data_dir: Path, started: list[Postgres]
) -> None:
    postgres = embedded(data_dir)
    started.append(postgres)
    await postgres.start()

    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.url.replace(SECRET, OTHER_SECRET))
    assert not (postgres.home.directory / "initdb-password").exists()
    assert SECRET not in (data_dir / "postgres.log").read_text()


async def test_data_of_another_password_is_told_in_words(
    data_dir: Path, started: list[Postgres]
) -> None:
    first = embedded(data_dir)
    started.append(first)
    await first.start()
    await first.stop()
    second = embedded(data_dir, OTHER_SECRET)
    started.append(second)

    with pytest.raises(StartError, match="password"):
        await second.start()


@pytest.mark.faults
async def test_a_lock_file_whose_process_id_belongs_to_another_program_is_no_obstacle(
    data_dir: Path, started: list[Postgres]
) -> None:
    postgres = embedded(data_dir)
    started.append(postgres)
    await postgres.start()
    lock = postgres.home.data / "postmaster.pid"
    lines = lock.read_text().splitlines()
    await postgres.stop()
    bystander = await asyncio.create_subprocess_exec("sleep", "60")
    lock.write_text("\n".join([str(bystander.pid), *lines[1:]]) + "\n")
    postgres.home.give(lock)

    await postgres.start()

    assert await postgres.is_healthy()
    assert bystander.returncode is None
    bystander.kill()
    await bystander.wait()


@pytest.mark.faults
async def test_a_server_that_was_left_behind_is_ended_first(
    data_dir: Path, started: list[Postgres]
) -> None:
    first, second = embedded(data_dir), embedded(data_dir)
    started += [first, second]
    await first.start()
    left_behind = first.process.pid
    assert left_behind

    await second.start()

    assert await second.is_healthy()
    wait_for(lambda: not is_alive(left_behind), seconds=5, what="the first server is gone")


@pytest.mark.faults
async def test_a_start_that_was_cut_short_is_made_good(
    data_dir: Path, started: list[Postgres]
) -> None:
    half = embedded(data_dir)
    half_made = half.home.directory / "data.new"
    started.append(half)
    starting = asyncio.create_task(half.start())
    await asyncio.to_thread(
        wait_for, (half_made / "PG_VERSION").exists, seconds=20, what="initdb has begun"
    )
    starting.cancel()
    await asyncio.wait([starting])

    await half.start()

    assert await half.is_healthy()
    assert not half_made.exists()


async def test_a_crash_loses_nothing_that_was_committed(
    data_dir: Path, started: list[Postgres]
) -> None:
    postgres = embedded(data_dir)
    started.append(postgres)
    await postgres.start()
    connection = await asyncpg.connect(postgres.url)
    await connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    connection.terminate()
    pid = postgres.process.pid
    assert pid

    os.kill(pid, signal.SIGKILL)
    await postgres.process.wait()
    began = time.monotonic()
    while True:  # the backends of the killed server need a moment to notice
        try:
            await postgres.start()
            break
        except StartError:
            assert time.monotonic() - began < 10
            await postgres.stop()

    connection = await asyncpg.connect(postgres.url)
    assert await connection.fetchval("SELECT one FROM kept") == 1
    await connection.close()

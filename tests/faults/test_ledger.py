"""The ledger run at small size: turns that call tools, under each fault once."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.chaos import audit
from tests.chaos.client import ChaosClient
from tests.chaos.client_checks import check_clients
from tests.chaos.fault import Fault
from tests.chaos.history import History
from tests.chaos.state_checks import check_logs, check_rest
from tests.chaos.step_checks import check_steps
from tests.faults.system import LEASE_SECONDS, System, running_system
from tests.ledger.checks import Kept, check_ledger
from tests.ledger.driver import Book, Driver
from tests.ledger.upstream import running_world

pytestmark = [pytest.mark.faults]

_SEED = 3
_TURNS = 12
_CLIENTS = 6


@asynccontextmanager
async def noted(faults: list[Fault], kind: str) -> AsyncIterator[None]:
    """A fault that lasts as long as the block."""
    faults.append(fault := Fault(kind, time.time()))
    try:
        yield
    finally:
        fault.ended = time.time()


async def do_each_fault(system: System, faults: list[Fault]) -> None:
    """Stop, empty and kill everything, one after the other."""
    worker = system.workers[0]
    await asyncio.sleep(1.0)
    async with noted(faults, "pause worker"):
        system.pause(worker)
        await asyncio.sleep(LEASE_SECONDS + 1.0)
        system.resume(worker)
    async with noted(faults, "stop postgres"):
        await system.postgres.stop()
        await system.postgres.start()
    await asyncio.sleep(1.0)
    async with noted(faults, "kill all"):
        for part in (*system.apis, *system.workers):
            await system.kill(part)
        await system.flush_redis()
        await system.restore()


@pytest.fixture(scope="module")
async def shared_system() -> AsyncIterator[System]:
    """One of each, of this module alone: make test runs no other of this folder beside it."""
    async with running_system(pairs=1) as system:
        yield system


@pytest.fixture
async def audited(system: System) -> AsyncIterator[None]:
    """What happens in the database is kept."""
    await audit.set_up(system)
    yield
    await audit.tear_down(system)


async def test_each_write_is_made_once_and_each_answer_counted_once_under_faults(
    system: System, audited: None
) -> None:
    faults, history = [Fault("start", time.time())], History()
    book = Book.of(_SEED, _TURNS)
    headers = {"Authorization": f"Bearer {system.api_key}"}
    async with (
        running_world(_SEED) as world,
        httpx.AsyncClient(headers=headers, trust_env=False) as http,
    ):
        await system.apply(world.manifests())
        clients = [
            ChaosClient(http, system.base_urls, history, f"{_SEED} {n}") for n in range(_CLIENTS)
        ]
        driving = [Driver(client, str(n), book).drive() for n, client in enumerate(clients)]
        async with asyncio.timeout(90):
            await asyncio.gather(do_each_fault(system, faults), *driving)
        stuck = await check_rest(system, faults)
        changes, kept = await audit.read(system), await Kept.read(system, book)
        violations = [
            *stuck,
            *check_clients(history, changes, world.upstream.ledger, faults),
            *check_steps(changes.steps, world.upstream.ledger, faults),
            *check_logs(system),
            *check_ledger(book, world, kept, changes.steps),
        ]
    assert violations == []
    assert len(book.turns) == _TURNS
    assert {row["status"] for row in kept.actions} >= {"approved", "denied", "answered"}

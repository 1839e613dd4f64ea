"""A step that kills its workers is found at the second, and those that ran beside it are not."""

import asyncio
import sys
from typing import Any

import httpx
import pytest

from app.db.engine import Database
from app.settings import Settings
from app.worker import serving
from tests.support.flows import Session, WritePackage

# What the step of each item does is counted here, in the process of the test.
_FLOW = """
import asyncio
from app.flows import Call, Map, Render, SessionMachine, SessionModel, State

running, most, seen = set(), 0, []

async def work(data):
    global most
    item = data["map_value"]
    seen.append(item)
    running.add(item)
    most = max(most, len(running))
    await asyncio.sleep(0.03)
    running.discard(item)
    return item

class Machine(SessionMachine):
    waiting = State(initial=True)
    working = State()
    go = waiting.to(working)
    done = working.to(waiting, on="keep")
    templates = {
        "waiting": Render("{{ result }}"),
        "working": Map("parsed_actor_input", Call(work)),
    }

    def keep(self):
        self.model.result = self.model.actor_input

class Crowd(SessionModel):
    machine = Machine
    result: str = "-"
"""

_ITEMS = '["a", "b", "c", "d", "e", "f", "g", "h"]'

# As if the worker that had claimed them were killed, for the `$2`th time.
_KILL = """
UPDATE step SET status = 'running', attempt = $2, lost_workers = $2 - 1, losses = $2 - 1,
  lease_until = now() - interval '1 s', published_at = now() - interval '1 hour'
WHERE session_id = $1 AND kind = 'leaf' AND path LIKE $3"""


@pytest.fixture
def settings(settings: Settings, write_package: WritePackage) -> Settings:
    package = write_package({"crowd.py": _FLOW})
    return settings.model_copy(update={"flows_package": package})


@pytest.fixture
async def crowd(client: httpx.AsyncClient) -> Session:
    """A session of eight steps that no worker has run yet."""
    session = await Session.start(client, "crowd")
    session.answer = (await session.post("go", _ITEMS)).json()
    return session


def module_of(settings: Settings) -> Any:
    return sys.modules[f"{settings.flows_package}.crowd"]


async def finished(session: Session) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while session.answer["next_actions"] == ["poll"]:
            await session.poll()
    return session.answer


async def test_steps_of_a_worker_that_was_killed_run_one_by_one_beside_others(
    client: httpx.AsyncClient, settings: Settings, database: Database, crowd: Session
) -> None:
    await database.pool.execute(_KILL, crowd.id, 1, "%")
    fresh = await Session.start(client, "crowd")
    fresh.answer = (await fresh.post("go", '["new"]')).json()

    async with serving(settings):
        assert (await finished(crowd))["response"] == _ITEMS
        await finished(fresh)

    assert module_of(settings).most <= 2  # one of them, and the one that is not suspected
    counts = "SELECT max(losses), max(attempt) FROM step WHERE session_id = $1 AND kind = 'leaf'"
    assert tuple(await database.pool.fetchrow(counts, crowd.id)) == (1, 2)


async def test_a_step_that_took_two_workers_along_is_not_run_again(
    client: httpx.AsyncClient, settings: Settings, database: Database, crowd: Session
) -> None:
    await database.pool.execute(_KILL, crowd.id, 1, "%")
    await database.pool.execute(_KILL, crowd.id, 2, "%/2")

    async with serving(settings):
        answer = await finished(crowd)

    assert "c" not in module_of(settings).seen
    assert "in quarantine: 2 attempts ended without an answer" in answer["error"]

    retried = await client.post(f"/v1/ai/crowd/sessions/{crowd.id}/retry")
    assert retried.status_code == 200, retried.text
    crowd.answer = retried.json()
    async with serving(settings):
        assert (await finished(crowd))["error"] is None
    assert module_of(settings).seen.count("c") == 1


async def test_a_worker_that_is_told_to_stop_blames_nobody(
    settings: Settings, database: Database, crowd: Session
) -> None:
    settings.worker.drain_seconds = 0
    async with serving(settings), asyncio.timeout(10):
        while not module_of(settings).running:  # noqa: ASYNC110 - it is the worker's
            await asyncio.sleep(0.005)

    counts = "SELECT max(losses), max(lost_workers), max(attempt) FROM step WHERE kind = 'leaf'"
    assert tuple(await database.pool.fetchrow(counts)) == (0, 0, 1)

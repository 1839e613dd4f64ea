"""Two workers with different flows, as while a new release is rolled out."""

import asyncio

import httpx
import pytest

from app.db.engine import Database
from app.settings import Settings
from app.worker import serving
from tests.support.flows import Session


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"flows_package": "tests.support.engine_flows"})


async def test_a_worker_without_the_flow_leaves_its_steps_to_one_that_has_it(
    client: httpx.AsyncClient, database: Database, settings: Settings
) -> None:
    session = await Session.start(client, "chained")
    older = settings.model_copy(update={"flows_package": None})
    async with serving(older):
        await session.post("go", "hi")
        query = "SELECT status, error, failures, losses FROM step WHERE kind = 'leaf'"
        while (step := await database.pool.fetchrow(query))["error"] is None:  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.02)
        assert tuple(step) == ("queued", "A worker does not have flow 'chained'.", 0, 0)
        assert (await session.poll(0))["next_actions"] == ["poll"]
        async with serving(settings):
            while session.told["next_actions"] == ["poll"]:
                await session.poll()
    assert session.told["error"] is None
    assert session.told["next_actions"] == ["go"]

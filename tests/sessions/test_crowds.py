"""Many steps of one session, and what a client may make of that, beside other sessions."""

import asyncio
import time

import httpx
import orjson
import pytest
from redis.asyncio import Redis

from app.db.engine import Database
from app.queue.publisher import StepQueue
from app.settings import Settings
from app.worker import serving
from tests.support.flows import Session


@pytest.fixture
def settings(settings: Settings) -> Settings:
    worker = settings.worker.model_copy(update={"concurrency": 2})
    return settings.model_copy(
        update={"flows_package": "tests.support.engine_flows", "worker": worker}
    )


def numbers(count: int) -> str:
    return orjson.dumps(list(range(count))).decode()


async def started(client: httpx.AsyncClient, flow: str, said: str) -> Session:
    session = await Session.start(client, flow)
    answer = await session.post("go", said)
    assert answer.status_code == 200, answer.text
    session.answer = answer.json()
    return session


async def test_a_large_map_keeps_nobody_waiting(client: httpx.AsyncClient, worker: None) -> None:
    large = await started(client, "slow", numbers(300))

    small = await started(client, "given", '["mine"]')
    while small.answer["next_actions"] == ["poll"]:
        await small.poll()

    assert small.answer["response"] == '["mine"]'
    progress = (await large.poll(wait=0))["progress"]
    assert progress["number_of_subtasks_executed"] < 150


async def test_what_nobody_serves_keeps_no_lost_step_waiting(
    client: httpx.AsyncClient, settings: Settings, redis: Redis
) -> None:
    await started(client, "unserved", numbers(1500))
    lost = await started(client, "given", '["lost"]')
    await redis.unlink(*[key async for key in redis.scan_iter(f"{settings.redis_namespace}:*")])

    async with serving(settings), asyncio.timeout(15):
        while lost.answer["next_actions"] == ["poll"]:
            await lost.poll()

    assert lost.answer["response"] == '["lost"]'
    assert not [key async for key in redis.scan_iter(f"{settings.redis_namespace}:queue:nobody*")]


async def test_a_step_that_is_published_often_runs_once(
    client: httpx.AsyncClient, settings: Settings, database: Database, redis: Redis
) -> None:
    session = await started(client, "given", numbers(60))
    steps = await database.pool.fetch("SELECT id, queue, org_id FROM step WHERE kind = 'leaf'")
    await redis.unlink(*[key async for key in redis.scan_iter(f"{settings.redis_namespace}:*")])
    queue = StepQueue(redis, settings.redis_namespace)
    for step in steps:
        for _ in range(4):
            await queue.publish([tuple(step)])

    wide = settings.worker.model_copy(update={"concurrency": 40})
    async with serving(settings.model_copy(update={"worker": wide})):
        while session.answer["next_actions"] == ["poll"]:
            await session.poll()

    assert session.answer["error"] is None
    assert session.answer["response"] == str(list(range(60)))
    assert await database.pool.fetchval("SELECT max(attempt) FROM step WHERE kind = 'leaf'") == 1


async def test_more_steps_than_a_state_may_start_are_refused(client: httpx.AsyncClient) -> None:
    session = await Session.start(client, "given")
    before = await session.model()

    refused = await session.post("go", numbers(10_001))

    assert refused.status_code == 409
    assert refused.json()["type"].endswith("too-many-steps")
    assert await session.model() == before
    assert (await session.post("go", "[]")).status_code == 200


@pytest.mark.parametrize("depth", [101, 260, 1000, 1100, 100_000])
@pytest.mark.parametrize("flow", ["given", "in_parallel", "chained"])
async def test_deep_json_is_a_text(
    client: httpx.AsyncClient, worker: None, flow: str, depth: int
) -> None:
    deep = "[" * depth + "]" * depth

    session = await started(client, flow, deep)
    while session.answer["next_actions"] == ["poll"]:
        await session.poll()

    assert session.answer["error"] is None
    if flow == "given":
        assert orjson.loads(session.answer["response"]) == [deep]


async def test_integers_are_what_they_were(client: httpx.AsyncClient, worker: None) -> None:
    for said in ("[18446744073709551615]", "[-9223372036854775808]"):
        session = await started(client, "given", said)
        while session.answer["next_actions"] == ["poll"]:
            await session.poll()
        assert session.answer["response"] == said
    too_large = "[123456789012345678901234567890]"
    session = await started(client, "given", too_large)
    while session.answer["next_actions"] == ["poll"]:
        await session.poll()
    assert orjson.loads(session.answer["response"]) == [too_large]


async def test_task_state_is_held_until_its_answer_changes(
    client: httpx.AsyncClient, worker: None
) -> None:
    session = await started(client, "slow", numbers(40))
    began = time.monotonic()

    state = await client.get(f"/v1/ai/slow/task_state/{session.id}", params={"wait": 30})

    assert state.json()["ready"] is True
    assert time.monotonic() - began < 25

"""No org holds all slots of a worker, and none waits behind the crowd of another."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.db.engine import Database
from app.kit.redis import open_redis
from app.queue.keys import old_bulk_key, queue_key, turns_key
from app.queue.publisher import StepQueue
from app.queue.worker import QueueWorker
from app.settings import Settings
from app.worker import serving
from tests.support.flows import Session, WritePackage, flow_of
from tests.support.http import NewKey
from tests.support.manifests import manifest, post

# A step for each item; those of `slow` items end when the test says so.
_FLOW = """
import asyncio
from app.flows import Call, Map, Render, SessionMachine, SessionModel, State

running, order, go_on = set(), [], asyncio.Event()

async def work(data):
    item = data["map_value"]
    running.add(item)
    if item.startswith("slow"):
        await go_on.wait()
    running.discard(item)
    order.append(item)
    return item

class Machine(SessionMachine):
    waiting = State(initial=True)
    working = State()
    go = waiting.to(working)
    done = working.to(waiting)
    templates = {"waiting": Render(""), "working": Map("parsed_actor_input", Call(work))}

class Crowd(SessionModel):
    machine = Machine
"""


@pytest.fixture
def settings(settings: Settings, write_package: WritePackage) -> Settings:
    worker = settings.worker.model_copy(update={"concurrency": 5, "drain_seconds": 0})
    package = write_package({"crowd.py": _FLOW})
    return settings.model_copy(update={"flows_package": package, "worker": worker})


@pytest.fixture
async def other(anonymous: httpx.AsyncClient, new_key: NewKey) -> AsyncIterator[httpx.AsyncClient]:
    """A client of another org than Acme."""
    key = await new_key(org="Beta", user="bea@beta.example")
    headers = {"Authorization": f"Bearer {key.api_key}"}
    transport = anonymous._transport
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", headers=headers
    ) as client:
        yield client


async def started(client: httpx.AsyncClient, *items: str) -> Session:
    session = await Session.start(client, "crowd")
    listed = ", ".join(f'"{item}"' for item in items)
    session.answer = (await session.post("go", f"[{listed}]")).json()
    return session


async def finished(session: Session) -> None:
    async with asyncio.timeout(20):
        while session.answer["next_actions"] == ["poll"]:
            await session.poll(wait=0.1)


@pytest.mark.parametrize("with_redis", [True, False], ids=["redis", "no redis"])
async def test_slow_steps_of_one_org_leave_slots_to_another(
    *, client: httpx.AsyncClient, other: httpx.AsyncClient, settings: Settings, with_redis: bool
) -> None:
    flood = [await started(client, *(f"slow {n}.{m}" for m in range(4))) for n in range(2)]
    away = {} if with_redis else {"redis_url": "redis://127.0.0.1:1/0"}
    module: Any = sys.modules[f"{settings.flows_package}.crowd"]

    async with serving(settings.model_copy(update=away)):
        async with asyncio.timeout(10):
            while len(module.running) < 4:  # noqa: ASYNC110 - it is the worker's
                await asyncio.sleep(0.01)
        await finished(await started(other, "quick"))

        assert module.order == ["quick"]
        assert len(module.running) == 4  # of five
        module.go_on.set()
        for session in flood:
            await finished(session)


async def test_a_turn_of_another_org_is_before_what_a_flood_has_left(
    client: httpx.AsyncClient, other: httpx.AsyncClient, settings: Settings, database: Database
) -> None:
    """Slow steps, and templates that never end, each new to the renderers."""
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    for number in range(4):
        endless = flow_of({"invoke": "verbatim", "template": f"{loop}{number}"})
        await post(client, "apply", manifest("Flow", f"endless-{number}", endless))
    greeting = flow_of({"invoke": "verbatim", "template": "{{ actor_input | upper }}"})
    await post(other, "apply", manifest("Flow", "greeting", greeting))
    await started(client, *(f"slow {n}" for n in range(12)))
    for number in range(4):
        flooding = await Session.start(client, f"endless-{number}")
        assert (await flooding.post("user_input", "go")).status_code == 200
    turn = await Session.start(other, "greeting")
    turn.answer = (await turn.post("user_input", "hello")).json()

    async with serving(settings):
        await finished(turn)
        query = "SELECT status, count(*) FROM step WHERE kind = 'leaf' GROUP BY status"
        steps: dict[str, int] = dict(await database.pool.fetch(query))

    assert turn.answer["response"] == "HELLO"
    assert steps.get("failed", 0) <= 2  # of four that never end
    assert steps["done"] == 1  # of the other org alone


async def test_orgs_take_turns_however_many_steps_one_has(settings: Settings) -> None:
    """Also at one slot, and steps of a large map with others of their org."""
    order: list[str] = []

    async def run(step_id: str) -> None:
        order.append(step_id)
        await asyncio.sleep(0)

    namespace = settings.redis_namespace
    async with open_redis(settings.redis_url, namespace) as redis:
        queue = StepQueue(redis, namespace)
        await queue.publish([(f"a{n}", "q", "org_a") for n in range(25)])
        await queue.publish([(f"b{n}", "q", "org_b") for n in range(2)])
        await queue.publish([("c0", "q", "org_c")])
        await redis.zadd(queue_key(namespace, "q"), {"old": 0})  # as the release before does
        await redis.zadd(old_bulk_key(namespace, "q"), {"older": 0})
        worker = QueueWorker(redis, namespace, "q", run_step=run, concurrency=1, org_share=0.8)
        serving_queue = asyncio.create_task(worker.async_run())
        async with asyncio.timeout(10):
            while len(order) < 30:  # noqa: ASYNC110 - it is the worker's
                await asyncio.sleep(0.01)
        serving_queue.cancel()
        await asyncio.gather(serving_queue, return_exceptions=True)

        assert {"b0", "b1", "c0", "a0", "a20"} <= set(order[:8])
        assert sorted(order)[-2:] == ["old", "older"]
        assert not await redis.exists(turns_key(namespace, "q"))

"""Flows of one org cost the others neither the event loop nor what is kept compiled."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from app.catalog.compiled import CompiledFlows, FlowSource
from app.db.engine import Database
from app.flows.rendering.sandbox import SandboxRenderer
from app.settings import Settings
from app.settings.http import ListSettings
from tests.flows.specs import greet
from tests.support.manifests import manifest, post


def ring(states: int) -> dict[str, Any]:
    """A flow that takes long to compile: a tenth of a second for 60 states."""
    ids = [f"s{number}" for number in range(states)]
    chart: dict[str, Any] = {
        state: {"transitions": [{"event": f"to_{number}", "target": ids[number - 1]}]}
        for number, state in enumerate(ids)
    }
    chart["s0"]["initial"] = True
    return {"statechart": {"states": chart}, "templates": dict.fromkeys(ids, "x")}


def source(spec: dict[str, Any]) -> Callable[[], Awaitable[FlowSource]]:
    async def read() -> FlowSource:
        return FlowSource(spec, None)

    return read


async def not_read() -> FlowSource:
    raise AssertionError("it is compiled already")


async def test_a_list_compiles_nothing(client: httpx.AsyncClient, database: Database) -> None:
    """So it takes no time for what would not even compile; a list of 800 flows took 23 s."""
    spec = greet()
    await post(client, "apply", manifest("Flow", "greet", spec))
    without = "UPDATE flow_revision SET spec = json_build_object('statechart', spec->'statechart')"
    await database.pool.execute(without)
    [item] = [
        one for one in (await client.get("/v1/ai/flows")).json()["items"] if one["key"] == "greet"
    ]
    assert item["number_of_states"] == len(spec["statechart"]["states"])
    assert (await client.get("/v1/ai/flows/greet")).status_code == 409

    # The release before did not store the number.
    await database.pool.execute("UPDATE flow_revision SET number_of_states = NULL")
    assert item in (await client.get("/v1/ai/flows")).json()["items"]


async def test_a_flow_is_compiled_off_the_event_loop() -> None:
    best = 1.0
    async with SandboxRenderer() as renderer:
        compiled = CompiledFlows(renderer, 0)
        for _ in range(3):
            began, all_began = time.thread_time(), time.process_time()
            await compiled.get("org", "ring", 1, source(ring(60)))
            share = (time.thread_time() - began) / (time.process_time() - all_began)
            best = min(best, share)
        compiled.close()
    assert best < 0.3


async def test_an_org_with_many_flows_takes_no_others_from_the_cache() -> None:
    async with SandboxRenderer() as renderer:
        compiled = CompiledFlows(renderer, 400_000)
        small = ring(2)
        kept = await compiled.get("small", "ring", 1, source(small))
        for revision in range(10):
            await compiled.get("large", "ring", revision, source(small))

        assert await compiled.get("small", "ring", 1, not_read) is kept
        compiled.close()


async def test_a_flow_takes_as_much_room_as_it_is_large() -> None:
    async with SandboxRenderer() as renderer:
        compiled = CompiledFlows(renderer, 300_000)
        kept = [await compiled.get("org", f"small-{n}", 1, source(ring(2))) for n in range(4)]
        assert await compiled.get("org", "small-0", 1, not_read) is kept[0]
        await compiled.get("org", "large", 1, source(ring(20)))

        last = await compiled.get("org", "small-3", 1, source(ring(2)))
        compiled.close()
    assert last is not kept[3]


async def test_a_flow_that_many_ask_for_is_compiled_once() -> None:
    reads = 0

    async def read() -> FlowSource:
        nonlocal reads
        reads += 1
        return FlowSource(ring(2), None)

    async with SandboxRenderer() as renderer:
        compiled = CompiledFlows(renderer, 1_000_000)
        flows = await asyncio.gather(*(compiled.get("org", "ring", 1, read) for _ in range(20)))
        assert len({id(flow) for flow in flows}) == 1
        compiled.close()
    assert reads == 1


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"lists": ListSettings(page_bytes=20_000)})


async def listed(client: httpx.AsyncClient, **query: Any) -> list[list[str]]:
    """The keys of all flows, page by page."""
    pages, token = [], None
    while token or not pages:
        answer = await client.get("/v1/ai/flows", params=query | {"page_token": token or ""})
        pages.append([flow["key"] for flow in answer.json()["items"]])
        assert len(answer.content) < 25_000
        token = answer.json()["next_token"]
    return pages


async def test_a_list_of_flows_is_given_in_pages(
    client: httpx.AsyncClient, database: Database
) -> None:
    """Of any number of them, and of any length of what they say of themselves."""
    await post(client, "apply", manifest("Flow", "greet", greet()))
    await database.pool.execute(
        "INSERT INTO flow_revision (org_id, key, revision, spec, description,"
        " created_by, number_of_states) SELECT org_id, 'flow_' || n, revision, spec,"
        " repeat('x', 8000), created_by, 1 FROM flow_revision, generate_series(1, 5) n"
    )
    every = ["chat", *(f"flow_{n}" for n in range(1, 6)), "greet"]
    by_bytes = await listed(client)
    assert [key for page in by_bytes for key in page] == every
    assert max(map(len, by_bytes)) == 3
    by_number = await listed(client, limit=2)
    assert [key for page in by_number for key in page] == every
    assert max(map(len, by_number)) == 2
    assert (await client.get("/v1/ai/flows", params={"page_token": "x"})).status_code == 400

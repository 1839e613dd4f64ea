"""Retrying a turn that failed in the calls of its tools: what nobody waits for any more is over."""

import httpx
import pytest

from app.settings import Settings
from tests.support.http_server import HttpServer, Says
from tests.support.shop import declare, reachable
from tests.support.threads import (
    THREADS,
    Reader,
    data,
    read,
    rested,
    results,
    settled,
    start,
    texts,
)

pytestmark = pytest.mark.usefixtures("worker")

ACTIONS = "/v1/ai/actions"
SLOW = Says(delay=3)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A turn's calls fail after a second."""
    step = settings.step.model_copy(update={"invocation_seconds": 1.0})
    session = settings.session.model_copy(update={"expire_sweep_seconds": 0.1})
    return reachable(settings).model_copy(update={"step": step, "session": session})


async def failed(client: httpx.AsyncClient, thread_id: str) -> None:
    """Follow a thread until its turn has failed."""
    reader = Reader(client, thread_id)
    await reader.follow()
    assert reader.messages[-1]["status"] == "failed"


async def test_what_waited_for_people_and_clients_ended_with_the_turn_and_stays_so(
    client: httpx.AsyncClient, shop: HttpServer
) -> None:
    shop.script(SLOW)
    await declare(client, "find-order", effect="read", approval="never", timeout=5)
    await declare(client, "delete-order")
    order = '{"order_id": "A1"}'
    calls = [
        *("call none", f"call find-order {order}"),
        *(f"call delete-order {order}", "call client_wait {}"),
    ]
    thread = await start(
        client,
        "\n".join([*calls, "then", "Fine."]),
        model_profile="script",
        tools=["find-order", "delete-order"],
        client_tools=[{"name": "client_wait", "description": "", "input_schema": {}}],
    )
    thread_id = thread["thread_id"]
    await failed(client, thread_id)
    actions = data(await client.get(ACTIONS, params={"session": thread_id}))["items"]
    assert [action["status"] for action in actions] == ["cancelled", "cancelled"]

    data(await client.post(f"{THREADS}/{thread_id}/retry"))
    thread = await settled(client, thread_id)

    none, found, deleted, waited = results(thread)
    assert found == ("success", "fine")
    for status, payload in (none, deleted, waited):
        assert (status, list(payload)) == ("error", ["error"])
    assert (texts(thread)[-1], thread["required_actions"]) == ("Fine.", [])
    roles = ["user", "assistant", "roboto", "assistant", "roboto", "assistant"]
    assert [m["role"] for m in thread["messages"]] == roles
    assert [m["status"] for m in thread["messages"]].count("failed") == 1
    [again] = thread["messages"][4]["content"]
    assert again["tool_name"] == "find-order"


async def test_a_write_that_was_cut_short_is_not_sent_again_by_a_retry(
    client: httpx.AsyncClient, shop: HttpServer
) -> None:
    shop.script(SLOW)
    await declare(client, "delete-order", approval="never", timeout=5)
    script = 'call delete-order {"order_id": "A1"}\nthen\nI see.'
    thread = await start(client, script, model_profile="script", tools=["delete-order"])
    thread_id = thread["thread_id"]
    await failed(client, thread_id)

    data(await client.post(f"{THREADS}/{thread_id}/retry"))
    [action] = (await rested(client, thread_id))["required_actions"]
    assert (action["kind"], len(shop.requests)) == ("unknown_outcome", 1)
    body = {"decision": "answer", "result": {"gone": True}}
    data(await client.post(f"{ACTIONS}/{action['action_id']}/resolve", json=body))
    thread = await settled(client, thread_id)

    assert results(thread) == [("success", {"gone": True})]
    assert (texts(thread)[-1], len(shop.requests)) == ("I see.", 1)
    assert (await read(client, thread_id))["required_actions"] == []

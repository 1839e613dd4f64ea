"""Agents and flows as tools: sessions that a step starts and waits for without a worker."""

import asyncio
from typing import Any

import httpx
import pytest

from app.db.engine import Database
from app.settings import Settings
from tests.support.http_server import HttpServer, Says
from tests.support.manifests import manifest, post
from tests.support.shop import declare, reachable
from tests.support.threads import (
    THREADS,
    answered,
    data,
    read,
    rested,
    results,
    said,
    settled,
    start,
    texts,
)

pytestmark = pytest.mark.usefixtures("worker")

ACTIONS = "/v1/ai/actions"
GREET = {
    "statechart": {
        "states": {
            "idle": {"initial": True, "transitions": [{"event": "go", "target": "working"}]},
            "working": {"transitions": [{"event": "done", "target": "over"}]},
            "over": {"final": True},
        }
    },
    "templates": {
        "idle": "",
        "working": {"invoke": "verbatim", "template": "Hello {{ actor_input }}!"},
        "over": "{{ actor_input }}",
    },
}
DELETE = 'call delete-order {"order_id": "A1"}'


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The shop may be reached, and what was lost is found soon."""
    session = settings.session.model_copy(update={"expire_sweep_seconds": 0.1})
    return reachable(settings).model_copy(update={"session": session})


@pytest.fixture
async def shop(client: httpx.AsyncClient, shop: HttpServer) -> HttpServer:
    """The shop, with a tool that deletes an order."""
    await declare(client, "delete-order")
    return shop


async def agent(
    client: httpx.AsyncClient, name: str, script: str, *variables: Any, **template: Any
) -> dict[str, Any]:
    """Create an agent whose model does what the script says; it as a tool."""
    request = {"model_profile": "script", "messages": [said(script)], **template}
    declared = [one if isinstance(one, dict) else {"name": one} for one in variables]
    body = {"name": name, "request_template": request, "variables": declared}
    data(await client.post("/v1/ai/agents", json=body), 201)
    return {"type": "agent", "agent": name}


async def asked(client: httpx.AsyncClient, script: str, *tools: Any) -> dict[str, Any]:
    """A thread whose model has done what the script says, with these tools."""
    return await answered(client, script, model_profile="script", tools=list(tools))


async def children(database: Database, thread_id: str) -> list[str]:
    """The sessions that were started by steps of a thread."""
    query = "SELECT id FROM session WHERE parent_session_id = $1 ORDER BY created"
    return [row["id"] for row in await database.pool.fetch(query, thread_id)]


async def child(database: Database, thread_id: str) -> str:
    """The one session that was started by a step of a thread."""
    [one] = await children(database, thread_id)
    return one


async def resolve(client: httpx.AsyncClient, action: dict[str, Any], decision: str) -> None:
    url = f"{ACTIONS}/{action['action_id']}/resolve"
    data(await client.post(url, json={"decision": decision}))


async def ended(client: httpx.AsyncClient, action: dict[str, Any]) -> str:
    """How an action ended, once it has: a worker may be about to end it."""
    async with asyncio.timeout(10):
        while True:
            status: str = data(await client.get(f"{ACTIONS}/{action['action_id']}"))["status"]
            if status != "open":
                return status
            await asyncio.sleep(0.05)


async def waiting(
    client: httpx.AsyncClient, *tools: Any, script: str = "call clerk", **fields: Any
) -> dict[str, Any]:
    """A thread that waits for an action, its own or of a session below it."""
    fields = {"model_profile": "script", "tools": list(tools), **fields}
    return await rested(client, (await start(client, script, **fields))["thread_id"])


async def clerk(client: httpx.AsyncClient, **template: Any) -> dict[str, Any]:
    """An agent that deletes an order once a person approved it."""
    return await agent(client, "clerk", DELETE, tools=["delete-order"], **template)


async def test_an_agent_called_as_a_tool_answers_from_a_session_of_its_own(
    client: httpx.AsyncClient, database: Database
) -> None:
    tool = await agent(client, "Order clerk", "{{what}} is on its way.", "what")
    thread = await asked(client, 'call Order_clerk {"what": "A17"}', tool)
    assert results(thread) == [("success", "A17 is on its way.")]

    own = await read(client, await child(database, thread["thread_id"]))
    assert texts(own) == ["A17 is on its way."] * 2
    assert (own["created_by"], own["visibility"]) == (thread["created_by"], thread["visibility"])
    assert (own["status"], own["created_from_agent_id"] is None) == ("user_turn", False)


async def test_an_agent_with_an_output_schema_gives_an_object(client: httpx.AsyncClient) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    tool = await agent(client, "counter", 'call submit_output {"n": 3}', output_schema=schema)
    other = await agent(client, "idle", "I will not.", output_schema=schema)
    thread = await asked(client, "call counter\ncall idle", tool, other)
    failed = {"error": "It did not bring about what it was asked for."}
    assert results(thread) == [("success", {"n": 3}), ("error", failed)]


async def test_an_action_of_an_agent_below_is_shown_and_resolved_above(
    client: httpx.AsyncClient, shop: HttpServer, database: Database
) -> None:
    own = await clerk(client)
    tool = await agent(client, "manager", "call clerk\nthen", tools=[own])
    thread = await waiting(client, tool, script="call manager\nthen")
    thread_id = thread["thread_id"]
    [action] = thread["required_actions"]
    below = await child(database, await child(database, thread_id))
    assert (action["kind"], action["tool_name"]) == ("approval", "delete-order")
    assert action["thread_id"] == below
    assert thread["status"] == "roboto_turn"
    assert thread["activity"] == "Waiting for approval of delete-order"
    listed = data(await client.get(ACTIONS, params={"session": thread_id, "status": "open"}))
    assert listed["items"] == [action]
    assert shop.requests == []

    await resolve(client, action, "approve")
    thread = await settled(client, thread_id)
    assert len(shop.requests) == 1
    assert texts(thread)[-1].endswith("delete-order: fine")
    assert thread["required_actions"] == []


async def test_people_decide_before_an_agent_that_may_wait_for_them_is_called(
    client: httpx.AsyncClient, shop: HttpServer, database: Database
) -> None:
    """Nobody could decide while it runs, be it for days."""
    own = await clerk(client)
    thread = await waiting(client, own, "delete-order", script=f"call clerk\n{DELETE}")
    [action] = thread["required_actions"]
    assert (action["thread_id"], thread["status"]) == (thread["thread_id"], "roboto_turn")
    assert await children(database, thread["thread_id"]) == []

    await resolve(client, action, "approve")
    thread = await rested(client, thread["thread_id"])
    [below] = thread["required_actions"]
    assert below["thread_id"] == await child(database, thread["thread_id"])
    await resolve(client, below, "deny")
    thread = await settled(client, thread["thread_id"])
    assert len(shop.requests) == 1
    assert [status for status, _ in results(thread)] == ["success", "success"]


async def test_threads_that_a_thread_called_are_listed_below_it_and_read_by_who_reads_it(
    client: httpx.AsyncClient, shop: HttpServer, database: Database
) -> None:
    own = await clerk(client)
    tool = await agent(client, "manager", "call clerk\nthen", tools=[own])
    thread = await waiting(client, tool, script="call manager\nthen")
    thread_id = thread["thread_id"]
    manager = await child(database, thread_id)
    below = await child(database, manager)

    assert [one["thread_id"] for one in await listed(client)] == [thread_id]
    for above, called in ((thread_id, manager), (manager, below)):
        [one] = await listed(client, parent_thread_id=above)
        assert (one["thread_id"], one["parent_thread_id"]) == (called, above)
        assert (await read(client, called))["parent_thread_id"] == above

    url = f"{THREADS}/{thread_id}/visibility"
    data(await client.post(url, json={"visibility": "org"}))
    assert (await read(client, manager))["visibility"] == "org"
    assert (await read(client, below))["visibility"] == "org"


async def listed(client: httpx.AsyncClient, **params: str) -> list[dict[str, Any]]:
    threads: list[dict[str, Any]] = data(await client.get(THREADS, params=params))["items"]
    return threads


async def test_a_step_that_waits_for_an_agent_has_no_worker(
    client: httpx.AsyncClient, shop: HttpServer, database: Database
) -> None:
    thread = await waiting(client, await clerk(client))
    query = """SELECT status, lease_until, attempt, failures, losses, waits_for FROM step
    WHERE session_id = $1 AND path = '/0'"""
    while (row := await database.pool.fetchrow(query, thread["thread_id"]))["lease_until"]:  # noqa: ASYNC110 - a worker's
        await asyncio.sleep(0.02)
    below = await child(database, thread["thread_id"])
    assert tuple(row) == ("waiting", None, 1, 0, 0, below)
    left = """SELECT deadline > now() + interval '30 days' FROM invocation
    WHERE session_id = $1 AND status = 'running'"""
    assert await database.pool.fetchval(left, thread["thread_id"])


@pytest.mark.parametrize("levels", [1, 2])
async def test_a_cancel_goes_down_to_who_waits_for_people(
    client: httpx.AsyncClient, shop: HttpServer, database: Database, levels: int
) -> None:
    tool = await clerk(client)
    if levels > 1:
        tool = await agent(client, "manager", "call clerk", tools=[tool])
    thread = await waiting(client, tool, script=f"call {tool['agent']}")
    [action] = thread["required_actions"]
    data(await client.post(f"{THREADS}/{thread['thread_id']}/cancel"))

    assert await ended(client, action) == "cancelled"
    below = await child(database, thread["thread_id"])
    assert (await read(client, below))["status"] == "user_turn"
    thread = await read(client, thread["thread_id"])
    assert (thread["status"], thread["required_actions"]) == ("user_turn", [])
    assert shop.requests == []


async def test_a_cancel_goes_down_to_what_runs(
    client: httpx.AsyncClient, shop: HttpServer, database: Database
) -> None:
    await declare(client, "look", approval="never", effect="read")
    shop.script(Says("late", delay=30))
    tool = await agent(client, "looker", 'call look {"order_id": "A1"}', tools=["look"])
    thread = await start(client, "call looker", model_profile="script", tools=[tool])
    async with asyncio.timeout(10):
        while not shop.requests:  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.02)
    data(await client.post(f"{THREADS}/{thread['thread_id']}/cancel"))
    own = await settled(client, await child(database, thread["thread_id"]))
    assert own["messages"][-1]["status"] == "cancelled"


async def test_an_agent_that_is_cancelled_itself_is_an_error_for_who_called_it(
    client: httpx.AsyncClient, shop: HttpServer, database: Database
) -> None:
    tool = await agent(client, "manager", "call clerk", tools=[await clerk(client)])
    thread = await waiting(client, tool, script="call manager\nthen\nI see.")
    below = await child(database, thread["thread_id"])
    data(await client.post(f"{THREADS}/{below}/cancel"))
    thread = await settled(client, thread["thread_id"])
    assert results(thread) == [("error", {"error": "Cancelled by the user."})]
    assert texts(thread)[-1] == "I see."


async def test_an_agent_whose_session_is_deleted_is_an_error_for_who_called_it(
    client: httpx.AsyncClient, shop: HttpServer, database: Database
) -> None:
    thread = await waiting(client, await clerk(client))
    below = await child(database, thread["thread_id"])
    await post(client, "delete/Session", name=below)
    thread = await settled(client, thread["thread_id"])
    gone = {"error": "The session that was started for it was deleted."}
    assert results(thread) == [("error", gone)]


async def test_sessions_go_with_the_one_above_them(
    client: httpx.AsyncClient, shop: HttpServer, database: Database
) -> None:
    thread = await waiting(client, await clerk(client))
    await post(client, "delete/Session", name=thread["thread_id"])
    assert await database.pool.fetchval("SELECT count(*) FROM session") == 0


async def test_a_lost_wake_up_is_made_up_for(
    client: httpx.AsyncClient, shop: HttpServer, database: Database
) -> None:
    thread = await waiting(client, await clerk(client))
    await database.pool.execute("UPDATE action SET status = 'expired'")  # and nobody is told
    thread = await settled(client, thread["thread_id"])
    assert results(thread) == [("error", {"error": "It ended without an answer."})]


async def test_a_lost_cancel_is_made_up_for(
    client: httpx.AsyncClient, shop: HttpServer, database: Database
) -> None:
    thread = await waiting(client, await clerk(client))
    [action] = thread["required_actions"]
    await database.pool.execute("UPDATE step SET status = 'superseded' WHERE status = 'waiting'")
    assert await ended(client, action) == "cancelled"


async def test_an_agent_that_takes_too_long_is_cancelled(
    client: httpx.AsyncClient, shop: HttpServer
) -> None:
    tool = await clerk(client) | {"timeout": 1.0}
    thread = await waiting(client, tool)
    [action] = thread["required_actions"]
    thread = await settled(client, thread["thread_id"])
    assert results(thread) == [("error", {"error": "No answer within 1 seconds."})]
    assert await ended(client, action) == "cancelled"


async def test_agents_call_each_other_to_a_bounded_depth(
    client: httpx.AsyncClient, database: Database
) -> None:
    tool = await agent(
        client, "echoer", "call echoer\nthen", tools=[{"type": "agent", "agent": "echoer"}]
    )
    thread = await asked(client, "call echoer\nthen", tool)
    assert "4 levels deep at the most" in texts(thread)[-1]
    assert await database.pool.fetchval("SELECT count(*) FROM session") == 5


async def test_what_is_called_must_be_there(client: httpx.AsyncClient) -> None:
    tools = [
        {"type": "agent", "agent": "nobody"},
        {"type": "flow", "flow": "nothing"},
        {"type": "flow", "flow": "chat", "event": "reply"},
    ]
    body = {"messages": [said("x")], "tools": tools}
    response = await client.post(THREADS, json=body)
    assert response.status_code == 400
    assert response.json()["errors"] == [
        {"loc": ["body", "tools", 0], "msg": "there is no agent 'nobody'"},
        {"loc": ["body", "tools", 1], "msg": "there is no flow 'nothing'"},
        {"loc": ["body", "tools", 2], "msg": "flow 'chat' takes no event 'reply' first"},
    ]


async def test_an_agent_that_is_gone_when_it_is_called_is_an_error(
    client: httpx.AsyncClient,
) -> None:
    tool = await agent(client, "clerk", "Yes.")
    thread = await start(client, "Hi.", model_profile="script", tools=[tool])
    await settled(client, thread["thread_id"])
    await post(client, "delete/Agent", name="clerk")
    body = {"message": said("call clerk")}
    data(await client.post(f"{THREADS}/{thread['thread_id']}/messages", json=body))
    thread = await settled(client, thread["thread_id"])
    assert results(thread) == [("error", {"error": "There is no agent named 'clerk'."})]


async def test_values_that_do_not_fit_are_told_to_the_model(client: httpx.AsyncClient) -> None:
    dataset = {"name": "set", "type": "dataset_id"}
    tool = await agent(client, "triage", "{{set}} {{how}}", dataset, "how")
    calls = ['{"set": "ds_1"}', '{"set": "ds_1", "how": 3}', '{"set": "ds_1", "how": "x"}']
    thread = await asked(client, "\n".join(f"call triage {call}" for call in calls), tool)
    errors = [payload["error"] for status, payload in results(thread) if status == "error"]
    assert '"how" is a required property' in errors[0]
    assert '3 is not of type "string"' in errors[1]
    assert errors[2].endswith("variable 'set': there is no Dataset 'ds_1'.")


async def test_a_call_of_an_agent_may_need_an_approval(
    client: httpx.AsyncClient, database: Database
) -> None:
    tool = await agent(client, "buyer", "Bought {{what}}.", "what")
    rule = {"when": "what != 'bread'"}
    calls = 'call buy {"what": "bread"}\ncall buy {"what": "a car"}'
    thread = await waiting(client, tool | {"name": "buy", "approval": rule}, script=calls)
    [action] = thread["required_actions"]
    assert (action["tool_name"], action["arguments"]) == ("buy", {"what": "a car"})
    await resolve(client, action, "approve")
    thread = await settled(client, thread["thread_id"])
    assert results(thread) == [("success", "Bought bread."), ("success", "Bought a car.")]
    assert len(await children(database, thread["thread_id"])) == 2


async def test_a_flow_is_called_with_its_first_event(client: httpx.AsyncClient) -> None:
    await post(client, "apply", manifest("Flow", "greet", GREET))
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    tools = [
        {"type": "flow", "flow": "greet", "description": "Greets."},
        {"type": "flow", "flow": "greet", "name": "greet2", "event": "go", "input_schema": schema},
    ]
    script = 'call greet {"input": "Ada"}\ncall greet2 {"name": "Bo"}'
    thread = await asked(client, script, *tools)
    assert results(thread) == [("success", "Hello Ada!"), ("success", 'Hello {"name":"Bo"}!')]

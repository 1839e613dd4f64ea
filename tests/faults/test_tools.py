"""Workers are lost in the middle of calls of tools: what writes is sent once, what reads again."""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
import yaml

from tests.faults.checks import check_database
from tests.faults.load import Client, Conversation
from tests.faults.system import System, until
from tests.support.manifests import manifest
from tests.support.raw_server import raw_server, sends

pytestmark = [pytest.mark.faults, pytest.mark.slow]

ANSWER = sends(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone")


def connection(port: int) -> Any:
    """The connection of the tools."""
    spec = {"connection": {"baseUrl": f"http://127.0.0.1:{port}"}}
    return manifest("ApiConnection", "shop", spec)


def tool(name: str, effect: str, **spec: Any) -> Any:
    """A tool of that effect, with a path of its own."""
    http = {"connection": "shop", "method": "POST", "path": f"/{name}"}
    return manifest(
        "Tool", name, {"description": "A tool.", "effect": effect, "http": http, **spec}
    )


async def apply(system: System, client: Client, documents: list[Any]) -> None:
    """Apply manifests."""
    response = await client.http.post(
        f"{system.base_urls[0]}/api/v1/cli/apply/", content=yaml.safe_dump_all(documents)
    )
    assert response.status_code == 200, response.text


async def begun(client: Client, script: str, tools: Sequence[str]) -> str:
    """The id of a thread whose model does what the script says."""
    messages = [{"role": "user", "content": [{"text": script}]}]
    body = {"messages": messages, "model_profile": "script", "tools": list(tools)}
    thread_id: str = (await client.data("POST", "", json=body))["thread_id"]
    return thread_id


async def asked(client: Client, thread_id: str) -> dict[str, Any]:
    """What a person is asked, once that is so."""
    found: list[dict[str, Any]] = []

    async def is_asked() -> bool:
        found[:] = (await client.data("GET", f"/{thread_id}"))["required_actions"]
        return bool(found)

    await until(is_asked, what=f"the action of {thread_id}")
    (action,) = found
    return action


async def give_up(client: Client, thread_id: str) -> None:
    """Deny what a person is asked: whether the call was made is not known."""
    action = await asked(client, thread_id)
    assert (action["kind"], action["tool_name"]) == ("unknown_outcome", "write")
    url = f"{client.base_urls[0]}/v1/ai/actions/{action['action_id']}/resolve"
    answer = await client.http.post(url, json={"decision": "deny"})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("loss", ["killed", "told to end", "stopped"])
async def test_a_write_whose_worker_is_lost_is_sent_once_and_a_read_again(
    system: System, client: Client, loss: str
) -> None:
    first, second = system.workers
    system.pause(second)
    conversation, held = Conversation(client), asyncio.Event()

    async def respond(writer: asyncio.StreamWriter) -> None:
        if len(requests) <= 2:
            with suppress(TimeoutError):
                await asyncio.wait_for(held.wait(), 60)
        await ANSWER(writer)

    async with raw_server(respond) as (port, requests):
        tools = [tool(effect, effect) for effect in ("write", "read")]
        await apply(system, client, [connection(port), *tools])
        script = "call write\ncall read\nthen\nI see."
        conversation.thread_id = await begun(client, script, ["read", "write"])

        async def both() -> bool:
            return len(requests) == 2

        await until(both, what="both calls are sent")
        if loss == "killed":
            await system.kill(first)
        elif loss == "told to end":
            system.send(first, signal.SIGTERM)
            await first.process.wait()
        else:
            system.pause(first)
        system.resume(second)
        await give_up(client, conversation.thread_id)
        await conversation.answered()
        system.resume(first)
        held.set()

    thread = await client.data("GET", f"/{conversation.thread_id}")
    assert [m["role"] for m in thread["messages"]] == ["user", "assistant", "roboto", "assistant"]
    results = {block["tool_name"]: block for block in thread["messages"][2]["content"]}
    assert results["write"]["status"] == "error"
    assert "is not known" in results["write"]["payload"]["error"]
    assert (results["read"]["status"], results["read"]["payload"]) == ("success", "done")
    keys = {
        path: [
            request.lower().partition(b"idempotency-key: ")[2].split()[0]
            for request in requests
            if request.startswith(f"POST /{path} ".encode())
        ]
        for path in ("write", "read")
    }
    assert len(keys["write"]) == 1
    assert len(keys["read"]) == 2
    assert len(set(keys["read"])) == 1
    await check_database(system)


async def test_a_late_result_of_a_tool_is_discarded(system: System, client: Client) -> None:
    """A worker comes back with the result of a call that another has made again since."""
    first, second = system.workers
    late, rest = asyncio.Event(), asyncio.Event()
    names = ("one", "two", "three")

    async def respond(writer: asyncio.StreamWriter) -> None:
        name = requests[-1].split()[1].strip(b"/").decode()
        number = sum(request.split()[1] == f"/{name}".encode() for request in requests)
        if (name, number) == ("one", 1):
            await late.wait()
        elif name != "one":
            await rest.wait()
        said = f"{name} {number}".encode()
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        await sends(head % len(said) + said)(writer)

    async def is_made(times: int) -> bool:
        return len(requests) == times

    async def is_done() -> bool:
        done = "SELECT count(*) FROM step WHERE status = 'done' AND path <> ''"
        return bool(await system.value(done))

    system.pause(second)
    conversation = Conversation(client)
    async with raw_server(respond) as (port, requests):
        await apply(system, client, [connection(port), *(tool(name, "read") for name in names)])
        script = "\n".join([*(f"call {name}" for name in names), "then", "I see."])
        conversation.thread_id = await begun(client, script, names)
        await until(lambda: is_made(3), what="the calls are sent")
        system.pause(first)
        system.resume(second)
        await until(lambda: is_made(6), what="the calls are sent again")
        await until(is_done, what="the first of them is done")
        late.set()
        system.resume(first)
        await asyncio.sleep(1.0)  # until the late result was written, if it is
        rest.set()
        await conversation.answered()

    thread = await client.data("GET", f"/{conversation.thread_id}")
    results = {block["tool_name"]: block["payload"] for block in thread["messages"][2]["content"]}
    assert results == {name: f"{name} 2" for name in names}
    await check_database(system)


async def test_an_approval_outlives_every_process_and_an_emptied_redis(
    system: System, client: Client
) -> None:
    conversation = Conversation(client)
    async with raw_server(ANSWER) as (port, requests):
        await apply(system, client, [connection(port), tool("pay", "write", approval="always")])
        conversation.thread_id = await begun(client, "call pay\nthen\nIt is paid.", ["pay"])
        await asked(client, conversation.thread_id)
        for part in system.parts:
            await system.kill(part)
        await system.restore()
        await system.flush_redis()
        action = await asked(client, conversation.thread_id)
        assert (action["kind"], requests) == ("approval", [])
        url = f"{client.base_urls[0]}/v1/ai/actions/{action['action_id']}/resolve"
        answer = await client.http.post(url, json={"decision": "approve"})
        assert answer.status_code == 200, answer.text
        await conversation.answered()
        assert len(requests) == 1
    await check_database(system)

"""Workers are lost in the middle of calls of tools: what writes is sent once, what reads again."""

import asyncio
import signal
from contextlib import suppress
from typing import Any

import pytest
import yaml

from tests.faults.checks import check_database
from tests.faults.load import Client, Conversation
from tests.faults.system import System, until
from tests.support.manifests import manifest
from tests.support.raw_server import raw_server, sends

pytestmark = [pytest.mark.faults]

ANSWER = sends(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone")


async def declare(system: System, client: Client, port: int) -> None:
    """Apply a tool that writes, one that reads, and where they go."""
    documents = [
        manifest("ApiConnection", "shop", {"connection": {"baseUrl": f"http://127.0.0.1:{port}"}}),
        *(
            manifest("Tool", effect, {"description": "A tool.", "effect": effect, "http": http})
            for effect in ("write", "read")
            for http in [{"connection": "shop", "method": "POST", "path": f"/{effect}"}]
        ),
    ]
    response = await client.http.post(
        f"{system.base_urls[0]}/api/v1/cli/apply/", content=yaml.safe_dump_all(documents)
    )
    assert response.status_code == 200, response.text


async def give_up(client: Client, thread_id: str) -> None:
    """Deny what a person is asked: whether the call was made is not known."""
    asked: list[dict[str, Any]] = []

    async def is_asked() -> bool:
        thread = await client.data("GET", f"/{thread_id}")
        asked[:] = thread["required_actions"]
        return bool(asked)

    await until(is_asked, what="the question what became of the write")
    (action,) = asked
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
        await declare(system, client, port)
        fields = {"model_profile": "script", "tools": ["read", "write"]}
        content = [{"text": "call write\ncall read\nthen\nI see."}]
        body = {"messages": [{"role": "user", "content": content}], **fields}
        conversation.thread_id = (await client.data("POST", "", json=body))["thread_id"]

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

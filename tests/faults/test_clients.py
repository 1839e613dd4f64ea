"""Crowds of clients at one thread, over two APIs, with Redis and without."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.faults.checks import check_all
from tests.faults.load import Client, Conversation, request_of, says_try_again
from tests.faults.system import System

# Without Redis there are no locks of sessions: the database alone keeps order.
pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.parametrize("redis", ["redis", "no redis"]),
]

_CROWD = 20


@asynccontextmanager
async def _with(redis: str, system: System) -> AsyncIterator[None]:
    """Redis is there in the block, or not; it is there after it."""
    if redis == "redis":
        yield
        return
    await system.kill(system.valkey)
    yield
    await system.valkey.start()


async def _served(
    client: Client, number: int, thread_id: str, text: str, key: str | None = None
) -> httpx.Response:
    """An answer that is not "busy"."""
    path, body = request_of(thread_id, text)
    response = await client.once(number, "POST", path, key=key, json=body)
    while says_try_again(response):
        await asyncio.sleep(0.1)
        response = await client.once(number, "POST", path, key=key, json=body)
    return response


async def test_twenty_messages_with_one_key(redis: str, system: System, client: Client) -> None:
    conversation = Conversation(client)
    await conversation.say("first")
    await conversation.answered()
    thread_id, key = conversation.thread_id, secrets.token_hex(8)
    async with _with(redis, system):
        answers = await asyncio.gather(
            *(_served(client, n, thread_id, "again", key) for n in range(_CROWD))
        )
        other = await _served(client, 0, thread_id, "another", key)
    assert {(a.status_code, a.content) for a in answers} == {(200, answers[0].content)}
    assert other.status_code == 422, other.text
    conversation.said.append("again")
    await conversation.answered()
    later = await _served(client, 1, thread_id, "again", key)
    assert later.content == answers[0].content
    # The start, its answer, the message, its answer.
    assert await _versions(system, conversation) == [1, 2, 3, 4]
    await check_all(system, client, [conversation])


async def test_twenty_starts_with_one_key(redis: str, system: System, client: Client) -> None:
    key = secrets.token_hex(8)
    async with _with(redis, system):
        answers = await asyncio.gather(
            *(_served(client, n, "", "first", key) for n in range(_CROWD))
        )
        other = await _served(client, 0, "", "another", key)
    assert {(a.status_code, a.content) for a in answers} == {(201, answers[0].content)}
    assert other.status_code == 422, other.text
    conversation = Conversation(client)
    conversation.thread_id = answers[0].json()["data"]["thread_id"]
    conversation.said.append("first")
    await conversation.answered()
    assert await system.value("SELECT count(*) FROM session") == 1
    assert await _versions(system, conversation) == [1, 2]
    await check_all(system, client, [conversation])


async def test_twenty_messages_at_once(redis: str, system: System, client: Client) -> None:
    conversation = Conversation(client)
    await conversation.say("first")
    await conversation.answered()
    thread_id = conversation.thread_id
    async with _with(redis, system):
        answers = await asyncio.gather(
            *(_served(client, n, thread_id, f"message {n}") for n in range(_CROWD))
        )
    assert {a.status_code for a in answers} == {200, 409}
    taken = [f"message {n}" for n, a in enumerate(answers) if a.status_code == 200]
    await conversation.answered()
    thread = await client.data("GET", f"/{conversation.thread_id}")
    said = [m["content"][0]["text"] for m in thread["messages"] if m["role"] == "user"]
    assert sorted(said[1:]) == sorted(taken)
    conversation.said = said
    await check_all(system, client, [conversation])


async def _versions(system: System, conversation: Conversation) -> list[int]:
    rows = await system.query(
        "SELECT version FROM transition WHERE session_id = $1 ORDER BY version",
        conversation.thread_id,
    )
    return [row["version"] for row in rows]

"""Redis hangs, is away, is full: events are taken at once, and work goes on without it."""

import asyncio
import time

import pytest
from redis.asyncio import Redis

from tests.faults.checks import check_all
from tests.faults.load import Client, Conversation, load, message
from tests.faults.system import System

pytestmark = [pytest.mark.faults, pytest.mark.slow]


async def seconds_of(conversation: Conversation, text: str) -> float:
    """How long the API takes to acknowledge a message."""
    began = time.monotonic()
    await conversation.say(text)
    return time.monotonic() - began


async def test_an_event_under_a_hung_redis_is_taken_in_a_second_and_answered(
    system: System, client: Client
) -> None:
    conversations = [Conversation(client) for _ in range(3)]
    for conversation in conversations:
        await conversation.say("hello")
        await conversation.answered()
    await asyncio.sleep(16)  # connections are old enough for a health check
    system.pause(system.valkey)
    for conversation in conversations:
        assert await seconds_of(conversation, "while it hangs") < 1.0
    async with asyncio.timeout(15):
        await asyncio.gather(*(conversation.answered() for conversation in conversations))
    system.resume(system.valkey)
    async with asyncio.timeout(15):
        for conversation in conversations:
            await conversation.say("when it is back")
            await conversation.answered()
    await check_all(system, client, conversations)


async def test_turns_go_on_while_redis_is_away(system: System, client: Client) -> None:
    async with load(client) as talk:
        await talk.more(6)
        await system.kill(system.valkey)
        await talk.more(12)
        response = await client.http.get(f"{client.base_urls[0]}/health/ready")
        assert response.status_code == 200
        assert response.json()["checks"]["redis"] == "missing"
        await system.valkey.start()
        await talk.more(12)
    await check_all(system, client, talk.conversations)


@pytest.mark.parametrize(
    ("setting", "refuses", "takes"),
    [("maxmemory", "1", "0"), ("min-replicas-to-write", "1", "0")],
)
async def test_turns_go_on_while_redis_takes_no_writes(
    system: System, client: Client, setting: str, refuses: str, takes: str
) -> None:
    async with load(client) as talk, Redis.from_url(system.valkey.url) as redis:
        await talk.more(6)
        await redis.config_set(setting, refuses)
        await talk.more(12)
        await redis.config_set(setting, takes)
        await talk.more(12)
    await check_all(system, client, talk.conversations)


async def test_nothing_is_left_in_redis_when_all_is_answered(
    system: System, client: Client
) -> None:
    await system.flush_redis()
    async with load(client) as talk:
        await talk.more(12)
    await asyncio.sleep(1.5)
    async with Redis.from_url(system.valkey.url) as redis:
        keys = [key.decode() async for key in redis.scan_iter()]
    assert [key for key in keys if not key.startswith("{statewright}:worker:")] == []


async def test_an_api_with_open_waits_stops_at_once(system: System, client: Client) -> None:
    response = await client.once(0, "POST", "", json={"messages": [message("hello")]})
    thread_id = response.json()["data"]["thread_id"]
    conversation = Conversation(client)
    conversation.thread_id = thread_id
    await conversation.answered()
    token = (await client.once(0, "GET", f"/{thread_id}/delta")).json()["data"]
    parameters = {"next_token": token["continuation_token"], "wait": 20}
    waits = [
        asyncio.create_task(client.once(0, "GET", f"/{thread_id}/delta", params=parameters))
        for _ in range(5)
    ]
    await asyncio.sleep(0.5)
    began = time.monotonic()
    await system.apis[0].stop()
    answers = await asyncio.gather(*waits)
    assert time.monotonic() - began < 1.5
    assert {answer.status_code for answer in answers} == {200}

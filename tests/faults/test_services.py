"""Redis and PostgreSQL are emptied, killed and restarted, while turns run."""

import asyncio

import pytest

from tests.faults.checks import check_all
from tests.faults.load import Client, Conversation, load, message
from tests.faults.system import System

pytestmark = [pytest.mark.faults, pytest.mark.slow]


async def test_redis_is_flushed(system: System, client: Client) -> None:
    async with load(client) as talk:
        for _ in range(10):
            await talk.more(3)
            await system.flush_redis()
        await talk.more(5)
    await check_all(system, client, talk.conversations)


async def test_a_lost_job_is_published_again(system: System, client: Client) -> None:
    """Redis loses the job of a step that no worker has seen yet."""
    for worker in system.workers:
        system.pause(worker)
    conversation = Conversation(client)
    await conversation.say("hello")
    await system.flush_redis()
    for worker in system.workers:
        system.resume(worker)
    await conversation.answered()
    await check_all(system, client, [conversation])


async def test_redis_is_down_for_ten_seconds(system: System, client: Client) -> None:
    async with load(client) as talk:
        await talk.more(6)
        await system.kill(system.valkey)
        admitted = talk.admitted
        new = [Conversation(client) for _ in range(4)]
        async with asyncio.timeout(10):
            await asyncio.gather(*(conversation.say("while it is down") for conversation in new))
        await asyncio.sleep(10)
        assert client.statuses.keys() <= {200, 201}, "every request was served all the while"
        assert talk.admitted > admitted
        await system.valkey.start()
        await talk.more(12)
    await asyncio.gather(*(conversation.answered() for conversation in new))
    await check_all(system, client, [*new, *talk.conversations])


async def test_postgresql_is_restarted(system: System, client: Client) -> None:
    async with load(client) as talk:
        await talk.more(6)
        for _ in range(3):
            await system.postgres.stop()
            response = await client.once(0, "POST", "", json={"messages": [message("hello")]})
            assert response.status_code == 503, response.text
            assert int(response.headers["retry-after"]) >= 1
            assert response.headers["content-type"] == "application/problem+json"
            await system.postgres.start()
            await talk.more(6)
    assert client.statuses[503] > 0
    assert client.statuses[500] == 0
    await check_all(system, client, talk.conversations)


async def test_postgresql_crashes(system: System, client: Client) -> None:
    async with load(client) as talk:
        await talk.more(6)
        await system.kill(system.postgres)
        await system.postgres.start()
        await talk.more(6)
    assert client.statuses[500] == 0
    await check_all(system, client, talk.conversations)


async def test_everything_is_killed_at_once(system: System, client: Client) -> None:
    async with load(client) as talk:
        await talk.more(6)
        for part in system.parts:
            await system.kill(part)
        await asyncio.gather(system.postgres.start(), system.valkey.start())
        await asyncio.gather(system.apis[0].start(), system.workers[0].start())
        await talk.more(6)
    await check_all(system, client, talk.conversations)

"""Workers and APIs are killed, stopped and told to end, while turns run."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable

import pytest

from app.settings import environment_with
from tests.faults.checks import check_all, check_database, texts
from tests.faults.load import Client, Conversation, load, long_text, message
from tests.faults.system import (
    DRAIN_SECONDS,
    MAX_LOSSES,
    System,
    until,
)

pytestmark = [pytest.mark.faults, pytest.mark.slow]

_BY_STATUS = "SELECT count(*) FROM step WHERE status = $1"


async def test_steps_of_a_killed_worker_are_taken_over(system: System, client: Client) -> None:
    async with load(client) as talk:
        await talk.more(6)
        await until(_running(system, 3), what="both workers run steps")
        await system.kill(system.workers[0])
        await talk.more(6)
        await system.workers[0].start()
        await talk.more(6)
    await check_all(system, client, talk.conversations)


async def test_a_step_of_a_killed_worker_is_done_by_another(system: System, client: Client) -> None:
    first, second = system.workers
    system.pause(second)
    conversation = Conversation(client)
    await conversation.say(long_text("hello", 5))
    await system.until_running(conversation.thread_id)
    await system.kill(first)
    system.resume(second)
    await conversation.answered()
    step = await system.step_of(conversation.thread_id)
    assert (step["attempt"], step["losses"], step["failures"]) == (2, 1, 0)
    await check_all(system, client, [conversation])


async def test_a_late_result_is_discarded(system: System, client: Client) -> None:
    first, second = system.workers
    system.pause(second)
    conversations = [Conversation(client) for _ in range(4)]
    await asyncio.gather(*(c.say(long_text("hello", 14)) for c in conversations))
    for conversation in conversations:
        await system.until_running(conversation.thread_id)
    system.pause(first)
    system.resume(second)
    for conversation in conversations:
        await system.until_running(conversation.thread_id, attempt=2)
    system.pause(second)  # it holds the steps now, while the first comes back with its results
    system.resume(first)
    await asyncio.gather(*(c.answered() for c in conversations))  # by a third attempt
    system.pause(first)
    system.resume(second)  # too late as well
    await conversations[0].say("are you back?")
    await conversations[0].answered()
    await check_all(system, client, conversations)


async def test_a_step_that_kills_its_worker_fails_in_the_end(
    system: System, client: Client
) -> None:
    worker, other = system.workers
    system.pause(other)
    poisoned = Conversation(client)
    await poisoned.say(long_text("poison", 600))
    await system.until_running(poisoned.thread_id, 1)
    await system.kill(worker)
    system.resume(other)
    await system.until_running(poisoned.thread_id, 2)
    await system.kill(other)
    await worker.start()
    await system.until_running(poisoned.thread_id, MAX_LOSSES + 1)
    await system.kill(worker)
    await other.start()
    await poisoned.answered()
    thread = await client.data("GET", f"/{poisoned.thread_id}")
    failure = thread["messages"][-1]
    assert failure["status"] == "failed"
    assert failure["content"][0]["content_type"] == "error"
    assert f"{MAX_LOSSES + 1} attempts ended" in failure["content"][0]["error_message"]

    await poisoned.say("and now?")
    await poisoned.answered()
    thread = await client.data("GET", f"/{poisoned.thread_id}")
    assert texts(thread["messages"])[-1] == ("assistant", "[echo model] You said: and now?")
    await check_database(system)


async def test_sigterm_drains(system: System, client: Client) -> None:
    worker, other = system.workers
    system.pause(other)
    endless = Conversation(client)
    await endless.say(long_text("endless", 40))
    await system.until_running(endless.thread_id)
    async with load(client) as talk:
        await talk.more(3)
        system.send(worker, signal.SIGTERM)
        async with asyncio.timeout(DRAIN_SECONDS + 5):
            assert await worker.process.wait() == 0
        # Nobody else is there: what is not done must be due again, at once.
        assert await system.value(_BY_STATUS, "running") == 0
        step = await system.step_of(endless.thread_id)
        assert (step["status"], step["attempt"], step["lease_until"]) == ("queued", 1, None)
        system.resume(other)
        await talk.more(6)
    await endless.answered()
    await check_all(system, client, [endless, *talk.conversations])


async def test_a_prompt_at_an_api_that_is_told_to_stop_says_so(
    system: System, client: Client
) -> None:
    api, url = system.apis[0], system.base_urls[0]
    head = {"apiVersion": "statewright/v1", "kind": "Agent", "metadata": {"name": "helper"}}
    agent = head | {"spec": {"requestTemplate": {"messages": [message("Be brief.")]}}}
    (await client.http.post(f"{url}/api/v1/cli/apply/", json=agent)).raise_for_status()
    for worker in system.workers:
        system.pause(worker)
    prompting = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli", "prompt", "helper", "Hello"),
        env=environment_with({"STATEWRIGHT_URL": url, "STATEWRIGHT_API_KEY": system.api_key}),
        stderr=asyncio.subprocess.PIPE,
    )

    async def is_asked() -> bool:
        return bool(await system.value("SELECT count(*) FROM session"))

    await until(is_asked, what="the session of the prompt")
    # A request of which half has come must not hold it up either.
    _, half = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
    half.write(b"POST /v1/ai/threads HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{")
    await half.drain()
    await asyncio.sleep(0.2)
    system.send(api, signal.SIGTERM)
    async with asyncio.timeout(10):
        _, said = await prompting.communicate()
        await api.process.wait()
    half.close()

    assert prompting.returncode == 1
    assert "is stopping" in said.decode()
    assert await system.value("SELECT id FROM session") in said.decode()


async def test_a_killed_api_loses_nothing(system: System, client: Client) -> None:
    async with load(client) as talk:
        await talk.more(6)
        await system.kill(system.apis[0])
        await talk.more(12)  # at the other
    assert client.statuses[0] > 0
    await check_all(system, client, talk.conversations)


async def test_an_api_killed_before_it_enqueues(system: System, client: Client) -> None:
    """Redis is away when the API wants to enqueue, and the API is gone when Redis is back."""
    conversation = Conversation(client)
    await conversation.say("one")
    await conversation.answered()
    await system.kill(system.valkey)
    response = await client.once(
        0, "POST", f"/{conversation.thread_id}/messages", json={"message": message("two")}
    )
    assert response.status_code == 200, response.text
    conversation.said.append("two")
    await system.kill(system.apis[0])
    step = await system.step_of(conversation.thread_id)
    assert (step["status"], step["attempt"]) == ("queued", 0)
    await system.valkey.start()
    await conversation.answered()
    await check_all(system, client, [conversation])


def _running(system: System, steps: int) -> Callable[[], Awaitable[bool]]:
    async def are_there() -> bool:
        return int(await system.value(_BY_STATUS, "running")) >= steps

    return are_there

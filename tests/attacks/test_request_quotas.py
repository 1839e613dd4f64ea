"""No org, and no key of one, takes the whole of the API."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.settings import Settings
from app.settings.http import RequestSettings
from tests.support.http import NewKey
from tests.support.manifests import manifest
from tests.support.threads import start

AGENTS = "/v1/ai/agents"


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """Settings with the quotas of the test."""
    return settings.model_copy(update={"requests": RequestSettings(**request.param)})


def quotas(**values: float) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("settings", [values], indirect=True, ids=["quotas"])


def refused(answer: httpx.Response, quota: str) -> bool:
    if answer.status_code != 429:
        return False
    problem = answer.json()
    assert problem["type"] == "urn:statewright:problem:quota-exceeded"
    assert problem["quota"] == quota
    assert int(answer.headers["retry-after"]) >= 1
    return True


async def with_key(new_key: NewKey, org: str) -> dict[str, str]:
    key = await new_key(org=org, user=f"ann@{org.lower()}.example")
    return {"authorization": f"Bearer {key.api_key}"}


@quotas(org_per_second=0.5, burst_seconds=10, key_share=1)
async def test_requests_of_an_org_are_bounded_each_second(
    anonymous: httpx.AsyncClient, new_key: NewKey
) -> None:
    first, second = await with_key(new_key, "Acme"), await with_key(new_key, "Acme")
    answers = [await anonymous.get(AGENTS, headers=first) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 6
    assert refused(await anonymous.get(AGENTS, headers=second), "org-requests-per-second")
    assert (await anonymous.get(AGENTS, headers=await with_key(new_key, "Other"))).is_success


@quotas(org_per_second=1, burst_seconds=4, key_share=0.5)
async def test_a_key_has_a_share_of_its_org(anonymous: httpx.AsyncClient, new_key: NewKey) -> None:
    first, second = await with_key(new_key, "Acme"), await with_key(new_key, "Acme")
    answers = [await anonymous.get(AGENTS, headers=first) for _ in range(4)]
    assert [answer.status_code for answer in answers[:3]] == [200] * 3
    assert refused(answers[3], "key-requests-per-second")
    assert (await anonymous.get(AGENTS, headers=second)).is_success


@quotas(org_at_once=8, key_share=0.5)
async def test_held_requests_of_an_org_leave_room_for_others(
    api: FastAPI, anonymous: httpx.AsyncClient, new_key: NewKey
) -> None:
    keys = [await with_key(new_key, "Acme") for _ in range(3)]
    other = await with_key(new_key, "Other")
    anonymous.headers.update(keys[0])
    thread = await start(anonymous, "Hello")  # nobody answers
    url = f"/v1/ai/threads/{thread['thread_id']}/delta"
    waiting = {"wait": "20", "next_token": thread["continuation_token"]}
    async with asyncio.timeout(10):
        held = [
            asyncio.create_task(anonymous.get(url, params=waiting, headers=key))
            for key in keys
            for _ in range(10)
        ]
        ended = asyncio.as_completed(held)
        done = [await next(ended) for _ in range(22)]
        assert [refused(answer, "key-requests-at-once") for answer in done[:6]] == [True] * 6
        assert refused(done[-1], "org-requests-at-once")
        assert (await anonymous.get(AGENTS, headers=other)).is_success
        api.state.runtime.wakeups.end_waits()
        assert sum(answer.is_success for answer in await asyncio.gather(*held)) == 8
        assert (await anonymous.get(AGENTS, headers=keys[0])).is_success


@quotas(org_body_bytes=100_000)
async def test_bodies_of_an_org_are_bounded_together(
    anonymous: httpx.AsyncClient, new_key: NewKey
) -> None:
    key = await with_key(new_key, "Acme")
    stop = asyncio.Event()

    async def halting() -> AsyncIterator[bytes]:
        yield b'["' + b"x" * 60_000
        await stop.wait()
        yield b'"]'

    held = asyncio.create_task(anonymous.post("/v1/ai/threads", content=halting(), headers=key))
    await asyncio.sleep(0.1)
    body = {"messages": [], "x": "x" * 50_000}
    assert refused(await anonymous.post("/v1/ai/threads", json=body, headers=key), "org-body-bytes")
    other = await with_key(new_key, "Other")
    assert (await anonymous.post("/v1/ai/threads", json=body, headers=other)).status_code == 400
    stop.set()
    assert (await held).status_code == 400
    assert (await anonymous.post("/v1/ai/threads", json=body, headers=key)).status_code == 400


@quotas(org_per_second=1_000)
async def test_an_account_may_say_less(anonymous: httpx.AsyncClient, new_key: NewKey) -> None:
    key, other = await with_key(new_key, "Acme"), await with_key(new_key, "Other")
    account = manifest("Account", "Acme") | {"spec": {"quotas": {"requestsAtOnce": 1}}}
    applied = await anonymous.post("/api/v1/cli/apply/", json=account, headers=key)
    assert applied.status_code == 200, applied.text
    for headers, statuses in ((key, {200, 429}), (other, {200})):
        answers = await asyncio.gather(*(anonymous.get(AGENTS, headers=headers) for _ in range(4)))
        assert {answer.status_code for answer in answers} == statuses
    shown = await anonymous.post("/api/v1/cli/describe/account/", headers=key)
    assert shown.json()["data"]["spec"] == account["spec"]


@quotas(org_per_second=1_000, burst_seconds=2, key_share=1)
async def test_an_account_may_say_fewer_requests_each_second(
    anonymous: httpx.AsyncClient, new_key: NewKey
) -> None:
    key, other = await with_key(new_key, "Acme"), await with_key(new_key, "Other")
    account = manifest("Account", "Acme") | {"spec": {"quotas": {"requestsPerSecond": 1}}}
    applied = await anonymous.post("/api/v1/cli/apply/", json=account, headers=key)
    assert applied.status_code == 200, applied.text
    answers = [await anonymous.get(AGENTS, headers=key) for _ in range(5)]
    assert any(refused(answer, "key-requests-per-second") for answer in answers)
    answers = [await anonymous.get(AGENTS, headers=other) for _ in range(5)]
    assert all(answer.is_success for answer in answers)


@quotas(session_waits=2)
async def test_few_requests_wait_for_one_thread(client: httpx.AsyncClient) -> None:
    """A change of a thread has each of them look at it, at the same moment."""
    thread, other = await start(client, "Hello"), await start(client, "Hello")

    def wait_for(thread: dict[str, str], wait: float) -> Any:
        query = {"next_token": thread["continuation_token"], "wait": wait}
        return client.get(f"/v1/ai/threads/{thread['thread_id']}/delta", params=query)

    requests = [asyncio.create_task(wait_for(thread, wait=20)) for _ in range(3)]
    ended, waiting = await asyncio.wait(requests, return_when=asyncio.FIRST_COMPLETED)
    assert [refused(await request, "session-waits") for request in ended] == [True]
    assert (await wait_for(thread, wait=0)).is_success
    assert (await wait_for(other, wait=0.01)).is_success
    for one in waiting:
        one.cancel()
    await asyncio.wait(waiting)
    assert (await wait_for(thread, wait=0.01)).is_success

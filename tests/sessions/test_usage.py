"""What models took is counted to the token: of every request that was answered, once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from app.access.caller import KeyScope
from app.db.engine import Database
from app.settings import LlmSettings, Settings
from app.worker import serving
from tests.support.http import NewKey
from tests.support.manifests import manifest, post
from tests.support.manifests import send as send_manifest
from tests.support.openai_server import OpenAiServer, Reply
from tests.support.providers import load_provider
from tests.support.stalling_proxy import StallingProxy
from tests.support.threads import THREADS, answered, data, read, said, send, settled, start, texts


@pytest.fixture
async def model() -> AsyncIterator[OpenAiServer]:
    load_provider("openai")
    async with OpenAiServer() as server:
        yield server


@pytest.fixture
def settings(settings: Settings, model: OpenAiServer) -> Settings:
    settings.llm = LlmSettings(
        provider="openai", base_url=model.base_url, model="test-model", api_key="secret-key"
    )
    settings.security.egress_allow = ["127.0.0.0/8"]
    settings.step.lease_seconds = 0.6
    settings.step.republish_seconds = 0.1
    settings.step.sweep_seconds = 0.1
    settings.worker.drain_seconds = 0.0
    return settings


def ledger(model: OpenAiServer) -> dict[str, Any]:
    """What the server counted."""
    asked, said, cached = (sum(counts) for counts in zip(*model.counted, strict=True))
    return {
        "requests": len(model.counted),
        "input_tokens": asked,
        "output_tokens": said,
        "cached_tokens": cached,
        "cost": {},
    }


@asynccontextmanager
async def outcome_held_up(database: Database) -> AsyncIterator[None]:
    """Keeps what models answer from being written while the block lasts, but not what it took."""
    async with database.pool.acquire() as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("SELECT FROM session FOR UPDATE")
        yield
        await transaction.rollback()


async def recorded(database: Database, rows: int) -> None:
    """Wait until the account has so many rows."""
    async with asyncio.timeout(10):
        while await database.pool.fetchval("SELECT count(*) FROM model_usage") < rows:  # noqa: ASYNC110 - rows of others
            await asyncio.sleep(0.02)


async def test_an_answer_and_its_thread_say_what_they_took(
    client: httpx.AsyncClient, worker: None, model: OpenAiServer
) -> None:
    model.script(Reply(text="one", usage=(20, 3, 5)), Reply(text="two", usage=(31, 7, 19)))

    thread = await answered(client, "Hi")
    await send(client, thread["thread_id"], "And?")
    thread = await settled(client, thread["thread_id"])

    took = {"requests": 1, "input_tokens": 20, "output_tokens": 3, "cached_tokens": 5, "cost": {}}
    assert thread["messages"][1]["usage"] == took
    assert thread["messages"][3]["usage"]["input_tokens"] == 31
    assert "usage" not in thread["messages"][0]
    assert thread["usage"] == ledger(model)


@pytest.mark.parametrize("second", [Reply(usage=(6, 4, 2)), Reply(status=400)], ids=["ok", "400"])
async def test_an_answer_that_came_whole_and_is_asked_for_again_is_counted(
    client: httpx.AsyncClient, worker: None, model: OpenAiServer, second: Reply
) -> None:
    model.script(Reply(usage=(6, 3, 2), never_stream=True), second)

    thread = await answered(client, "Hi")

    assert len(model.requests) == 2
    assert thread["usage"] == ledger(model) | {"requests": 1}


@pytest.mark.parametrize("profile", ["echo", "script"])
async def test_built_in_models_take_nothing(
    client: httpx.AsyncClient, worker: None, profile: str
) -> None:
    thread = await answered(client, "Hi", model_profile=profile)

    assert thread["usage"] is None
    assert "usage" not in thread["messages"][1]


@pytest.mark.parametrize(
    "fault",
    [
        Reply(text="", usage=(9, 4, 0)),
        Reply(text="no", usage=(9, 4, 0), finish_reason="content_filter"),
        Reply(message_body={"content": None, "refusal": "I will not."}, usage=(9, 4, 0)),
    ],
    ids=["no text", "content filter", "refusal"],
)
async def test_a_request_that_is_answered_with_nothing_is_counted_as_its_retry_is(
    client: httpx.AsyncClient, worker: None, model: OpenAiServer, fault: Reply
) -> None:
    model.script(fault, Reply(status=500), Reply(text="fine", usage=(10, 2, 0)))
    thread = await answered(client, "Hi")
    assert thread["messages"][-1]["status"] == "failed"
    assert thread["usage"] == ledger(model)

    data(await client.post(f"{THREADS}/{thread['thread_id']}/retry"))
    thread = await settled(client, thread["thread_id"])

    assert texts(thread)[-1] == "fine"
    assert len(model.requests) == 3
    assert thread["usage"] == ledger(model)
    assert thread["usage"]["requests"] == 2
    assert thread["messages"][-1]["usage"] == thread["usage"]


async def test_what_a_worker_spent_that_died_before_it_wrote_the_answer_is_counted(
    client: httpx.AsyncClient, database: Database, settings: Settings, model: OpenAiServer
) -> None:
    model.script(Reply(text="lost", usage=(9, 4, 1)), Reply(text="kept", usage=(9, 5, 9)))
    thread = await start(client, "Hi")
    async with outcome_held_up(database), serving(settings):
        await recorded(database, 1)

    async with serving(settings):
        thread = await settled(client, thread["thread_id"])

    assert texts(thread) == ["Hi", "kept"]
    assert thread["usage"] == ledger(model)
    assert thread["messages"][1]["usage"] == ledger(model)


async def test_what_was_written_without_an_answer_is_written_again_and_counted_once(
    client: httpx.AsyncClient, database: Database, settings: Settings, model: OpenAiServer
) -> None:
    gate = asyncio.Event()
    model.script(Reply(usage=(9, 4, 1), gate=gate))
    thread = await start(client, "Hi")
    async with StallingProxy.open(settings.database_url) as proxy, database.pool.acquire() as other:
        behind = settings.model_copy(update={"database_url": proxy.url})
        async with serving(behind):
            await model.arrived.wait()
            # Holds the statement up until its answer is sure to be lost.
            transaction = other.transaction()
            await transaction.start()
            await other.execute(SAME_ATTEMPT)
            gate.set()
            await held_up(database)
            proxy.answering.clear()
            await transaction.rollback()
            await recorded(database, 1)
            proxy.cut()
            proxy.answering.set()
            thread = await settled(client, thread["thread_id"])

    assert thread["usage"] == ledger(model)
    assert thread["messages"][1]["usage"] == ledger(model)


SAME_ATTEMPT = """
INSERT INTO model_usage (step_id, attempt, org_id, session_id, session_version, user_id, provider,
  input_tokens, output_tokens, cached_tokens, seconds)
SELECT id, attempt, org_id, session_id, 1, '', '', 0, 0, 0, 0 FROM step"""


async def held_up(database: Database) -> None:
    """Wait until a statement about usage waits for a lock."""
    waits = """SELECT count(*) FROM pg_stat_activity
      WHERE wait_event_type = 'Lock' AND query LIKE '%INTO model_usage%'
        AND datname = current_database()"""
    async with asyncio.timeout(10):
        while not await database.pool.fetchval(waits):  # noqa: ASYNC110 - locks of others
            await asyncio.sleep(0.02)


async def test_what_an_attempt_spent_whose_result_is_dropped_is_counted(
    client: httpx.AsyncClient, database: Database, worker: None, model: OpenAiServer
) -> None:
    gate = asyncio.Event()
    model.script(Reply(text="dropped", usage=(9, 4, 1), gate=gate), Reply(usage=(9, 5, 9)))
    thread = await start(client, "Hi")
    await model.arrived.wait()
    async with outcome_held_up(database):
        gate.set()
        await recorded(database, 1)
        cancelled = asyncio.create_task(client.post(f"{THREADS}/{thread['thread_id']}/cancel"))
        await asyncio.sleep(0)
    await cancelled

    thread = await read(client, thread["thread_id"])
    assert thread["usage"] == ledger(model)


async def test_counts_that_no_request_can_have_are_bounded(
    client: httpx.AsyncClient, worker: None, model: OpenAiServer
) -> None:
    model.script(Reply(text="odd", usage=(10**15, 7, 10**14)))

    thread = await answered(client, "Hi")

    assert texts(thread) == ["Hi", "odd"]
    assert thread["usage"]["input_tokens"] == thread["usage"]["cached_tokens"] == 10**9
    assert thread["usage"]["output_tokens"] == 7


def priced(model: OpenAiServer, **prices: Any) -> Any:
    """A Provider that leads to the server."""
    spec = {"type": "openai", "model": "m", "baseUrl": model.base_url}
    return manifest("Provider", "priced", spec | ({"prices": prices} if prices else {}))


async def test_a_cost_is_exact_and_stays_when_prices_change(
    client: httpx.AsyncClient, worker: None, model: OpenAiServer
) -> None:
    model.default = Reply(usage=(1000, 7, 400))
    document = priced(model, input=0.15, output="0.6000001", cached="0.075")
    await post(client, "apply", document)
    first = await answered(client, "Hi", model_profile="priced")

    # 600 x 0.15 + 400 x 0.075 + 7 x 0.6000001, a millionth of it.
    assert first["messages"][1]["usage"]["cost"] == {"USD": "0.0001242000007"}
    assert first["usage"]["cost"] == {"USD": "0.0001242000007"}

    await post(client, "apply", priced(model, input=1, output=2, currency="EUR"))
    await send(client, first["thread_id"], "Again")
    thread = await settled(client, first["thread_id"])
    assert thread["usage"]["cost"] == {"USD": "0.0001242000007", "EUR": "0.001014"}

    await post(client, "apply", priced(model))
    await send(client, first["thread_id"], "Again")
    thread = await settled(client, first["thread_id"])
    assert thread["messages"][-1]["usage"]["cost"] == {}
    assert thread["usage"]["cost"] == {"USD": "0.0001242000007", "EUR": "0.001014"}
    assert thread["usage"]["input_tokens"] == 3000


async def test_prices_are_shown_as_they_are_applied(
    client: httpx.AsyncClient, model: OpenAiServer
) -> None:
    await post(client, "apply", priced(model, input=0.1, output=3))

    described = (await post(client, "describe/provider", name="priced"))["data"]

    assert described["spec"]["prices"] == {"input": "0.1", "output": "3", "currency": "USD"}
    again = await post(client, "apply", described)
    assert again["data"]["operation"] == "unchanged"


@pytest.mark.parametrize(
    "prices",
    [
        {"input": -1, "output": 1},
        {"input": "NaN", "output": 1},
        {"input": "0.0000000001", "output": 1},
        {"input": 1},
        {"input": 1, "output": 1, "currency": "dollars"},
        {"input": 1, "output": 1, "batch": 1},
    ],
)
async def test_wrong_prices_are_refused(
    client: httpx.AsyncClient, model: OpenAiServer, prices: dict[str, Any]
) -> None:
    response = await send_manifest(client, "apply", priced(model, **prices))

    assert response.status_code == 400, response.text
    assert response.json()["errors"][0]["loc"][:2] == ["spec", "prices"]


async def usage(client: httpx.AsyncClient, **params: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = data(await client.get("/v1/ai/usage", params=params))["items"]
    return items


async def test_usage_is_summed_by_day_agent_user_and_provider_for_who_may_know(
    *, client: httpx.AsyncClient, worker: None, model: OpenAiServer, new_key: NewKey
) -> None:
    model.default = Reply(usage=(10, 2, 4))
    await post(client, "apply", priced(model, input=1, output=10))
    template = {"messages": [said("Hi")], "model_profile": "priced"}
    body = {"name": "asker", "request_template": template}
    agent = data(await client.post("/v1/ai/agents", json=body), 201)["agent_id"]
    launched = data(await client.post(f"/v1/ai/agents/{agent}/launch", json={}), 201)
    await settled(client, launched["thread_id"])
    ann = client.headers["Authorization"]
    client.headers["Authorization"] = f"Bearer {(await new_key(org='Other')).api_key}"
    await answered(client, "Hi")
    bob = await new_key(user="bob@acme.example", scopes=[KeyScope.WRITE])
    client.headers["Authorization"] = f"Bearer {bob.api_key}"
    await answered(client, "Hi")

    one = {"requests": 1, "input_tokens": 10, "output_tokens": 2, "cached_tokens": 4}
    cost = {"USD": "0.00003"}
    [mine] = await usage(client, by="user")
    assert mine["name"] == "bob@acme.example"
    assert mine.items() >= (one | {"cost": {}}).items()

    client.headers["Authorization"] = ann
    assert await usage(client, by="agent") == [
        {"key": "", "name": None, **one, "cost": {}},
        {"key": agent, "name": "asker", **one, "cost": cost},
    ]
    assert [item["key"] for item in await usage(client, by="provider")] == ["llm", "priced"]
    assert {item["name"] for item in await usage(client, by="user")} == {
        "ann@acme.example",
        "bob@acme.example",
    }
    [day] = await usage(client)
    assert (day["requests"], day["input_tokens"], day["cost"]) == (2, 20, cost)
    assert [item["requests"] for item in await usage(client, agent="asker")] == [1]
    assert [item["requests"] for item in await usage(client, agent=agent)] == [1]
    midnight = f"{day['key']}T00:00:00Z"
    assert await usage(client, to=midnight) == []
    assert await usage(client, **{"from": midnight}) == [day]

    first = data(await client.get("/v1/ai/usage", params={"by": "agent", "limit": 1}))
    token = first["next_token"]
    [rest] = await usage(client, by="agent", page_token=token)
    assert (first["items"][0]["key"], rest["key"]) == ("", agent)


@pytest.mark.parametrize(
    "params",
    [
        {"by": "month"},
        {"from": "2026-01-31T10:00:00"},
        {"from": "1769817600"},
        {"from": "0001-01-01T00:00:00+14:00"},
        {"from": "2026-02-01", "to": "2026-01-31"},
        {"page_token": "x"},
        {"limit": "0"},
    ],
)
async def test_a_wrong_question_is_refused(
    client: httpx.AsyncClient, params: dict[str, str]
) -> None:
    assert (await client.get("/v1/ai/usage", params=params)).status_code == 400

"""What is large is read, checked and written beside the event loop: others wait for none of it."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from app.flows.model.session_model import MAX_INPUT_VALUES, parse_json
from app.kit.concurrency.off_loop import off_loop
from app.kit.concurrency.shares import work_for
from app.main import create_app
from app.settings import Settings
from tests.support.flows import Session
from tests.support.manifests import manifest, post
from tests.support.threads import THREADS, said

_AGENTS = "/v1/ai/agents"


class Longest:
    """The processor seconds of the callback that held the loop for the longest."""

    seconds = 0.0


@contextmanager
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Longest]:
    """Measures each callback of the loop, as they run in this thread."""
    longest, run = Longest(), asyncio.Handle._run  # type: ignore[attr-defined]

    def timed(handle: asyncio.Handle) -> None:
        started = time.thread_time()
        run(handle)
        longest.seconds = max(longest.seconds, time.thread_time() - started)

    with monkeypatch.context() as patch:
        patch.setattr(asyncio.Handle, "_run", timed)
        yield longest


def tools(count: int) -> list[dict[str, Any]]:
    properties = {f"p{n}": {"type": "string"} for n in range(70)}
    return [
        {
            "name": f"client_t{n}",
            "description": "d",
            "input_schema": {"type": "object", "properties": properties},
        }
        for n in range(count)
    ]


CONTEXT = {"misc_context": {"rows": [{"n": n} for n in range(5_000)]}}
# What held the loop before for 60 and 80 ms.
LARGE: dict[str, Callable[[], tuple[str, dict[str, Any]]]] = {
    "schemas of tools": lambda: (
        THREADS,
        {"messages": [said("x")], "client_tools": tools(40)},
    ),
    "an agent with much to look for placeholders in": lambda: (
        _AGENTS,
        {
            "name": f"a {time.monotonic_ns()}",
            "request_template": {"messages": [said("x")], "client_context": CONTEXT},
        },
    ),
    # SQLAlchemy wrote it as JSON, twice, in one go.
    "an agent with texts of which all is escaped": lambda: (
        _AGENTS,
        {
            "name": f"a {time.monotonic_ns()}",
            "request_template": {"messages": [said('"' * 500_000)] * 4},
        },
    ),
}


@pytest.mark.parametrize("case", LARGE)
async def test_a_valid_large_body_does_not_hold_the_loop(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    seconds = []
    for _ in range(3):
        url, body = LARGE[case]()
        request = client.build_request("POST", url, json=body)
        with held(monkeypatch) as longest:
            answer = await asyncio.create_task(client.send(request))
        assert answer.status_code == 201, answer.text[:300]
        seconds.append(longest.seconds)
    assert min(seconds) < 0.02


async def test_a_manifest_is_described_beside_the_loop(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = [{"content": [{"text": "x"}] * 900, "role": "user"}] * 3
    await client.post(_AGENTS, json={"name": "large", "request_template": {"messages": blocks}})
    seconds = []
    for _ in range(3):
        with held(monkeypatch) as longest:
            await asyncio.create_task(post(client, "describe/Agent", name="large"))
        seconds.append(longest.seconds)
    assert min(seconds) < 0.02


async def test_the_first_request_finds_the_routes_made(settings: Settings) -> None:
    """FastAPI makes those of a router when it is first asked for one: for up to 0.1 s."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        started = time.thread_time()
        assert len(tuple(iter_route_contexts(app.routes))) > 50
        assert time.thread_time() - started < 0.02


async def test_an_org_has_one_thread_at_a_time() -> None:
    running, most = 0, 0

    def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.005)
        running -= 1

    async def of(org: str) -> None:
        work_for(org)
        await off_loop(work, heavy=True)

    await asyncio.gather(*(asyncio.create_task(of("a")) for _ in range(4)))
    assert most == 1
    await asyncio.gather(*(asyncio.create_task(of(org)) for org in "aaabbbccc"))
    assert most == 2


async def test_what_is_cancelled_keeps_its_place_until_its_thread_is_done() -> None:
    done: list[int] = []
    first = asyncio.create_task(off_loop(lambda: (time.sleep(0.05), done.append(1)), heavy=True))
    await asyncio.sleep(0.01)
    first.cancel()
    await off_loop(lambda: done.append(2), heavy=True)
    assert done == [1, 2]
    with pytest.raises(asyncio.CancelledError):
        await first


ROWS = {
    "model": {"rows": {"type": "array", "items": {}}},
    "statechart": {
        "states": {
            "a": {
                "initial": True,
                "transitions": [
                    {
                        "event": "keep",
                        "target": "a",
                        "on": [{"assign": {"location": "rows", "expr": "parsed_actor_input"}}],
                    }
                ],
            }
        }
    },
    "templates": {"a": "{{ rows | length }}"},
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(
        update={"session": settings.session.model_copy(update={"model_values": 10_000})}
    )


async def test_a_model_of_many_small_values_is_not_saved(client: httpx.AsyncClient) -> None:
    """A model of 10 MB with a value in each two bytes took 0.7 s to be read, in one call."""
    await post(client, "apply", manifest("Flow", "rows", ROWS))
    session = await Session.start(client, "rows")
    assert (await session.send("keep", f"[{', '.join(['[1]'] * 4_000)}]"))["response"] == "4000"

    refused = await session.post("keep", f"[{', '.join(['[1]'] * 6_000)}]")

    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (409, "size-limit")
    assert refused.json()["detail"] == (
        "The session's ManifestModel would have more than 10,000 values."
    )
    assert len(await session.model("rows")) == 4_000


def test_an_input_of_too_many_values_stays_a_text() -> None:
    text = "[" + "1," * (MAX_INPUT_VALUES - 1) + "1]"
    assert parse_json(text) == text
    assert len(parse_json(text.replace("1,", "", 1))) == MAX_INPUT_VALUES - 1

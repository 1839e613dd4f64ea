"""Turns in which one invocation leads to the next: as many as the settings allow, and no more."""

from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.db.engine import Database
from app.settings import Settings
from app.worker import serving
from tests.sessions.test_yaml_flows import save
from tests.support.flows import Session
from tests.support.http import NewKey

_VERBATIM = {"invoke": "verbatim", "template": "{{ actor_input }}"}
_NOTHING = {"map": {"over": "[]", "template": _VERBATIM}}

# Somebody acts in `a`, then in `b`; the states after it invoke something.
_SELF = {"s0": [("three", "s0")]}
_PAIR = {"s0": [("one", "s1")], "s1": [("two", "s0")]}
_WITH_ERROR = {"s0": [("three", "s0"), ("error", "s1")], "s1": [("two", "s0"), ("error", "c")]}
_CHAIN = {"s0": [("one", "s1")], "s1": [("two", "c")]}
_MOST = 12
_LENGTHEN = """
WITH longer AS (UPDATE session SET version = version + 1000 RETURNING id, org_id)
INSERT INTO transition (session_id, version, org_id, cause, event, source, target, message_count)
SELECT id, 3 + n, org_id, 'invocation:' || n, 'three', 's0', 's0', 3
FROM longer, generate_series(1, 1000) n"""
_COUNT = "SELECT status, count(*) FROM invocation GROUP BY status"


def _spec(invoking: dict[str, list[tuple[str, str]]], template: dict[str, Any]) -> dict[str, Any]:
    states = {"a": [("go", "b")], "b": [("go", "s0")], **invoking, "c": [("go", "b")]}
    charted: dict[str, Any] = {
        name: {"transitions": [{"event": event, "target": target} for event, target in found]}
        for name, found in states.items()
    }
    charted["a"]["initial"] = True
    templates = {"a": "a", "b": "b", "c": "c"} | dict.fromkeys(invoking, template)
    return {"statechart": {"states": charted}, "templates": templates}


async def _invocations(database: Database) -> dict[str, int]:
    return {row["status"]: row["count"] for row in await database.pool.fetch(_COUNT)}


@pytest.mark.parametrize(
    ("invoking", "template", "state"),
    [
        pytest.param(_SELF, _NOTHING, "b", id="a state that leads to itself"),
        pytest.param(_PAIR, _VERBATIM, "b", id="two states that lead to each other"),
        # `s1` is what the failure leads to: one invocation more, which fails as well.
        pytest.param(_WITH_ERROR, _NOTHING, "c", id="a circle with a way out for errors"),
    ],
)
async def test_a_circle_of_invocations_that_succeed_fails_in_the_end(
    *,
    api: FastAPI,
    client: httpx.AsyncClient,
    new_key: NewKey,
    settings: Settings,
    database: Database,
    invoking: dict[str, list[tuple[str, str]]],
    template: dict[str, Any],
    state: str,
) -> None:
    settings.session.max_invocations_per_turn = _MOST
    await save(api, await new_key(), "circle", _spec(invoking, template))
    async with AsyncExitStack() as workers:
        for _ in range(2):  # what they count is not theirs
            await workers.enter_async_context(serving(settings))
        session = await Session.start(client, "circle")
        await session.send("go")
        for turn in (1, 2):
            await session.send("go", "hello")
            assert f"{_MOST} invocations" in session.answer["error"]
            assert (session.answer["next_actions"], await session.model("state")) == (["go"], state)
            failed = 2 if state == "c" else 1
            expected = {"done": turn * (_MOST - 1), "failed": turn * failed}
            assert await _invocations(database) == expected
            if state == "c":
                await session.send("go")
        if state == "b":
            answer = await client.post(f"/v1/ai/circle/sessions/{session.id}/retry")
            assert answer.status_code == 200, answer.text
            await session.poll()
            while session.answer["next_actions"] == ["poll"]:
                await session.poll()
            assert f"{_MOST} invocations" in session.answer["error"]


async def test_a_long_circle_leads_back_to_where_somebody_acted(
    *,
    api: FastAPI,
    client: httpx.AsyncClient,
    new_key: NewKey,
    settings: Settings,
    database: Database,
) -> None:
    settings.session.max_invocations_per_turn = _MOST
    await save(api, await new_key(), "circle", _spec(_SELF, _VERBATIM))
    session = await Session.start(client, "circle")
    await session.send("go")
    assert (await session.post("go", "hello")).status_code == 200
    await database.pool.execute(_LENGTHEN)  # as a turn of a thousand invocations leaves it
    async with serving(settings):
        await session.poll()

    assert f"{_MOST} invocations" in session.answer["error"]
    assert (session.answer["next_actions"], await session.model("state")) == (["go"], "b")


@pytest.mark.parametrize("most", [1, 2])
async def test_the_last_invocation_that_a_turn_may_have_counts(
    *,
    api: FastAPI,
    client: httpx.AsyncClient,
    new_key: NewKey,
    settings: Settings,
    most: int,
) -> None:
    settings.session.max_invocations_per_turn = most
    await save(api, await new_key(), "chain", _spec(_CHAIN, _VERBATIM))
    async with serving(settings):
        session = await Session.start(client, "chain")
        await session.send("go")
        await session.send("go", "hello")
    assert (session.answer["error"] is None) == (most == 2)

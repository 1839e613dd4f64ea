"""Two workers with different flows, as while a new release is rolled out."""

import asyncio
import json
from collections.abc import Callable
from typing import cast

import httpx
import pytest
from fastapi import FastAPI

from app.db.engine import Database
from app.sessions.store.protocol import PROTOCOL
from app.settings import Settings
from app.worker import serving
from tests.support.flows import Session, WritePackage, flow_of
from tests.support.manifests import manifest, post


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"flows_package": "tests.support.engine_flows"})


async def test_a_worker_without_the_flow_leaves_its_steps_to_one_that_has_it(
    client: httpx.AsyncClient, database: Database, settings: Settings
) -> None:
    session = await Session.start(client, "chained")
    older = settings.model_copy(update={"flows_package": None})
    async with serving(older):
        await session.post("go", "hi")
        query = "SELECT status, error, failures, losses FROM step WHERE kind = 'leaf'"
        while (step := await database.pool.fetchrow(query))["error"] is None:  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.02)
        assert tuple(step) == ("queued", "A worker does not have flow 'chained'.", 0, 0)
        assert (await session.poll(0))["next_actions"] == ["poll"]
        async with serving(settings):
            while session.answer["next_actions"] == ["poll"]:
                await session.poll()
    assert session.answer["error"] is None
    assert session.answer["next_actions"] == ["go"]


_FLOW = """
from app.flows import Call, Render, SessionMachine, SessionModel, State
from .answers import answer


class AskingMachine(SessionMachine):
    a = State(initial=True)
    {working} = State()

    go = a.to({working})
    done = {working}.to(a, on="keep")

    templates = {{"a": Render("{{{{ answer }}}}"), "{working}": Call(answer)}}

    def keep(self) -> None:
        self.model.answer = self.model.actor_input


class Asking(SessionModel):
    machine = AskingMachine
    answer: str = "-"
"""
Release = Callable[..., Settings]
_ANSWERS = "async def answer(_data):\n    return {!r}\n"
_BROKEN = """
from app.flows import InvalidValueError

async def answer(_data):
    raise InvalidValueError("broken")
"""


@pytest.fixture
def release(settings: Settings, write_package: WritePackage) -> Release:
    """Settings with a flow that gives an answer, or fails where it has none."""

    def make(answer: str | None, working: str = "w") -> Settings:
        answers = _BROKEN if answer is None else _ANSWERS.format(answer)
        files = {"asking.py": _FLOW.format(working=working), "answers.py": answers}
        return settings.model_copy(update={"flows_package": write_package(files)})

    return make


@pytest.fixture
def older(api: FastAPI, release: Release) -> Settings:
    """The release of the API; to be asked for before the client."""
    api.state.settings = release("older")
    return cast(Settings, api.state.settings)


@pytest.fixture
def broken(api: FastAPI, release: Release) -> Settings:
    """The same, of a release whose answers fail."""
    api.state.settings = release(None)
    return cast(Settings, api.state.settings)


async def test_a_worker_leaves_steps_to_one_that_has_the_code_by_which_they_were_planned(
    older: Settings, client: httpx.AsyncClient, release: Release
) -> None:
    async with serving(older), serving(release("newer")):
        sessions = [await Session.start(client, "asking") for _ in range(12)]
        answer = await asyncio.gather(*(session.send("go") for session in sessions))
    assert {one["response"] for one in answer} == {"older"}


async def test_when_the_code_is_gone_a_step_is_run_by_the_code_that_there_is(
    older: Settings, client: httpx.AsyncClient, release: Release
) -> None:
    async with serving(older):
        pass  # and its sign of life is gone with it
    async with serving(release("newer")), asyncio.timeout(5):
        session = await Session.start(client, "asking")
        assert (await session.send("go"))["response"] == "newer"


async def test_when_the_code_and_its_state_are_gone_the_session_goes_back(
    older: Settings, client: httpx.AsyncClient, release: Release
) -> None:
    async with serving(release("newer", working="busy")), asyncio.timeout(5):
        session = await Session.start(client, "asking")
        answer = await session.send("go")
    assert answer["next_actions"] == ["go"]
    assert "Flow 'asking' was changed while it ran." in answer["error"]


async def test_a_retry_of_a_turn_whose_code_and_state_are_gone_fails_too(
    broken: Settings, client: httpx.AsyncClient, release: Release
) -> None:
    session = await Session.start(client, "asking")
    async with serving(broken):
        assert "broken" in (await session.send("go"))["error"]
    async with serving(release("newer", working="busy")), asyncio.timeout(5):
        retried = await client.post(f"/v1/ai/asking/sessions/{session.id}/retry", json={})
        assert retried.status_code == 200, retried.text
        answer = await session.poll()
        while answer["next_actions"] == ["poll"]:
            answer = await session.poll()
    assert "Flow 'asking' was changed while it ran." in answer["error"]


async def test_a_step_of_a_newer_protocol_waits_for_a_newer_worker(
    client: httpx.AsyncClient, database: Database, settings: Settings
) -> None:
    session = await Session.start(client, "chained")
    await session.post("go", "hi")
    await database.pool.execute("UPDATE step SET protocol = $1", PROTOCOL + 1)
    async with serving(settings):
        await asyncio.sleep(2 * settings.step.republish_seconds)
        rows = await database.pool.fetch("SELECT attempt FROM step WHERE attempt > 0")
        assert rows == []
        await database.pool.execute("UPDATE step SET protocol = $1", PROTOCOL)
        async with asyncio.timeout(10):
            while session.answer["next_actions"] == ["poll"]:
                await session.poll()
    assert session.answer["error"] is None


async def test_steps_that_the_release_before_stored_with_all_that_they_see_are_run(
    client: httpx.AsyncClient, database: Database, settings: Settings
) -> None:
    part = {"chain": ["{{ outer }}/{{ inner }}", "<{{ previous_result }}>"]}
    inner = {"map": {"over": "`[1, 2]`", "value_field": "inner", "template": part}}
    outer = {"map": {"over": "`[3, 4]`", "value_field": "outer", "template": inner}}
    await post(client, "apply", manifest("Flow", "in_maps", flow_of(outer)))
    session = await Session.start(client, "in_maps")
    await session.post("user_input")
    assert await database.pool.fetchval("SELECT max(protocol) FROM step") == PROTOCOL
    steps = await database.pool.fetch("SELECT id, path FROM step WHERE path <> ''")
    for id_, path in steps:
        places = [int(part) for part in path.split("/")[1:3]]
        seen = {"outer": 3 + places[0], "inner": 1 + places[-1], "map_index": places[-1]}
        if len(places) == 1:
            del seen["inner"]
        whole = {"previous_result": None, "fields": json.dumps(seen)}
        await database.pool.execute(
            "UPDATE step SET protocol = 2, input = $2 WHERE id = $1", id_, whole
        )

    async with serving(settings), asyncio.timeout(10):
        while session.answer["next_actions"] == ["poll"] or not session.answer["response"]:
            await session.poll()

    assert session.answer["response"] == '[["<3/1>", "<3/2>"], ["<4/1>", "<4/2>"]]'

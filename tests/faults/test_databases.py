"""Locked rows, and flows that refuse what an invocation ends with: nothing is lost or stuck."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest

from app.db.engine import Database
from app.sessions.store.sql.step_sql import CLAIM
from app.settings import Settings
from app.worker import serving
from tests.faults.system import until
from tests.support.flows import Session, WritePackage
from tests.support.http import NewKey
from tests.support.openai_server import OpenAiServer, Reply
from tests.support.providers import use_model
from tests.support.threads import THREADS, data, settled, start, texts

pytestmark = [pytest.mark.faults, pytest.mark.slow]

_STEPS = "SELECT id, status, attempt, failures, losses FROM step WHERE session_id = $1"


@pytest.fixture
def settings(settings: Settings, model: OpenAiServer) -> Settings:
    """The model of this machine; leases of two seconds."""
    use_model(settings, model)
    return settings


@pytest.fixture
async def http(
    anonymous: httpx.AsyncClient, new_key: NewKey, settings: Settings
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API in this process, where a worker serves too."""
    anonymous.headers["Authorization"] = f"Bearer {(await new_key()).api_key}"
    async with serving(settings):
        yield anonymous


@asynccontextmanager
async def _locked(settings: Settings, table: str, row_id: str) -> AsyncIterator[asyncpg.Connection]:
    """Somebody else has the row while the block lasts: the connection that is given."""
    connection = await asyncpg.connect(settings.database_url)
    try:
        async with connection.transaction():
            await connection.execute(f"SELECT FROM {table} WHERE id = $1 FOR UPDATE", row_id)
            yield connection
    finally:
        await connection.close()


async def _steps(database: Database, thread_id: str) -> list[dict[str, Any]]:
    return [dict(row) for row in await database.pool.fetch(_STEPS, thread_id)]


async def test_a_result_outlives_a_lock_on_its_session(
    http: httpx.AsyncClient, settings: Settings, database: Database, model: OpenAiServer
) -> None:
    gate = asyncio.Event()
    model.script(Reply(text="At last.", gate=gate))
    thread_id = (await start(http, "Hi"))["thread_id"]
    await model.arrived.wait()
    async with _locked(settings, "session", thread_id):
        gate.set()
        await asyncio.sleep(3)  # longer than a statement waits for a lock

    assert texts(await settled(http, thread_id)) == ["Hi", "At last."]
    assert len(model.requests) == 1
    (step,) = await _steps(database, thread_id)
    assert (step["status"], step["attempt"], step["failures"], step["losses"]) == ("done", 1, 0, 0)


async def test_a_locked_step_does_not_cost_others_their_leases(
    http: httpx.AsyncClient, settings: Settings, database: Database, model: OpenAiServer
) -> None:
    model.default = Reply(delay=2.5 * settings.step.lease_seconds)
    threads = [(await start(http, f"Hi {n}"))["thread_id"] for n in range(4)]

    async def are_asked() -> bool:
        return len(model.requests) == len(threads)

    await until(are_asked, what="all steps run")
    (locked,) = await _steps(database, threads[0])
    async with _locked(settings, "step", locked["id"]) as locker:
        await asyncio.sleep(2 * settings.step.lease_seconds)
        # Who has the row free before its waiting owner is told so does not take it over.
        assert await locker.fetch(CLAIM, [locked["id"]], 2.0, True) == []
        for thread_id in threads[1:]:
            (step,) = await _steps(database, thread_id)
            assert (step["status"], step["attempt"]) == ("running", 1)
        assert len(model.requests) == len(threads)

    for thread_id in threads:
        assert texts(await settled(http, thread_id))[1:] == ["Hello from the test model."]
    assert len(model.requests) == len(threads)
    for thread_id in threads:
        (step,) = await _steps(database, thread_id)
        assert (step["attempt"], step["failures"], step["losses"]) == (1, 0, 0)


_FLOW = """
apiVersion: statewright/v1
kind: Flow
metadata: {{name: {name}}}
spec:
  statechart:
    states:
      a: {{{initial_a}transitions: [{{event: go, target: w1}}]}}
      w1: {{{initial_w1}transitions: [{{event: one, target: w2}}]}}
      w2: {{transitions: [{{event: two, target: b{cond}}}]}}
      b: {{transitions: [{{event: go, target: w1}}]}}
  templates:
    a: "a"
    w1: {{invoke: {first}, template: "{{{{ actor_input }}}}"}}
    w2: {{invoke: {second}, template: "{{{{ actor_input }}}}"}}
    b: "b {{{{ actor_input }}}}"
"""
_OK = ', cond: "parsed_actor_input.ok"'


async def _apply(
    http: httpx.AsyncClient,
    name: str,
    *,
    first: str = "verbatim",
    second: str = "verbatim",
    cond: str = _OK,
    initial: str = "a",
) -> None:
    text = _FLOW.format(
        name=name,
        first=first,
        second=second,
        cond=cond,
        initial_a="initial: true, " if initial == "a" else "",
        initial_w1="initial: true, " if initial == "w1" else "",
    )
    applied = await http.post("/api/v1/cli/apply/", content=text)
    assert applied.is_success, applied.text


async def test_what_follows_a_failed_invocation_is_not_invoked(
    http: httpx.AsyncClient, model: OpenAiServer
) -> None:
    await _apply(http, "pair", first="llm", second="llm", cond="")
    session = await Session.start(http, "pair")
    model.script(Reply(status=400, message="odd"))

    await session.send("go", "hello")

    assert session.answer["next_actions"] == ["go"]
    error = session.answer["error"]
    assert error
    assert len(model.requests) == 1
    assert (await session.poll(wait=0))["error"] == error
    assert await session.model("task_error") == error
    await session.send("go", "again")
    assert session.answer["error"] is None
    assert session.answer["response"] == "b Hello from the test model."
    assert len(model.requests) == 3


async def test_a_refused_result_puts_the_session_back_where_somebody_can_act(
    http: httpx.AsyncClient,
) -> None:
    await _apply(http, "refusing")
    session = await Session.start(http, "refusing")
    for _ in range(2):
        await session.send("go", "no JSON")
        assert (session.answer["next_actions"], await session.model("state")) == (["go"], "a")
        assert session.answer["error"]
    await session.send("go", '{"ok": true}')
    assert (session.answer["next_actions"], await session.model("state")) == (["go"], "b")
    assert session.answer["error"] is None


async def test_a_refused_result_of_an_initial_invoker_state_leads_to_a_state_that_acts(
    http: httpx.AsyncClient,
) -> None:
    await _apply(http, "begins", initial="w1")
    session = await Session.start(http, "begins")
    while session.answer["next_actions"] == ["poll"]:
        await session.poll()
    assert session.answer["next_actions"] == ["go"]
    assert session.answer["error"]
    await session.send("go", '{"ok": true}')
    assert (session.answer["error"], await session.model("state")) == (None, "b")


async def test_a_cancelled_invocation_that_no_state_takes_leads_back(
    http: httpx.AsyncClient, model: OpenAiServer
) -> None:
    await _apply(http, "slow", second="llm")
    session = await Session.start(http, "slow")
    model.script(Reply(gate=asyncio.Event()), Reply(text='{"ok": true}'))
    answer = await session.post("go", "no JSON")
    assert answer.status_code == 200, answer.text
    await model.arrived.wait()

    data(await http.post(f"{THREADS}/{session.id}/cancel"))

    await session.poll()
    assert (session.answer["next_actions"], await session.model("state")) == (["go"], "a")
    assert session.answer["error"] == "Cancelled by the user."
    await session.send("go", "again")
    assert (session.answer["error"], await session.model("state")) == (None, "b")


_RAISING = """
from app.flows import Invoke, Render, SessionMachine, SessionModel, State


class RaisingMachine(SessionMachine):
    a = State(initial=True)
    w1 = State()
    w2 = State()
    b = State()

    go = a.to(w1) | b.to(w1)
    one = w1.to(w2)
    two = w2.to(b)

    templates = {
        "a": Render("a"),
        "w1": Invoke("{{ actor_input }}", "verbatim"),
        "w2": Invoke("{{ actor_input }}", "verbatim"),
        "b": Render("b"),
    }

    def on_enter_b(self, actor_input: str) -> None:
        if actor_input != "fine":
            raise RuntimeError("secret hook")


class Raising(SessionModel):
    machine = RaisingMachine
"""


@pytest.fixture
def raising(settings: Settings, write_package: WritePackage) -> None:
    settings.flows_package = write_package({"raising.py": _RAISING})


async def test_a_hook_that_raises_at_the_end_of_an_invocation_leads_back(
    settings: Settings, raising: None, http: httpx.AsyncClient
) -> None:
    session = await Session.start(http, "raising")
    await session.send("go", "trouble")
    assert (session.answer["next_actions"], await session.model("state")) == (["go"], "a")
    assert session.answer["error"]
    assert "secret" not in session.answer["error"]
    await session.send("go", "fine")
    assert (session.answer["error"], await session.model("state")) == (None, "b")


# As the start of a step leaves them, of which the statement of the cancel did not see the commit.
_REOPEN = """
UPDATE step SET status = 'queued', finished_at = NULL, published_at = now() - interval '1 minute'
WHERE session_id = $1 AND status = 'superseded'"""


async def test_steps_that_start_just_while_a_turn_is_cancelled_are_over(
    http: httpx.AsyncClient, database: Database, model: OpenAiServer
) -> None:
    model.script(Reply(gate=asyncio.Event()))
    thread_id = (await start(http, "Hi"))["thread_id"]
    await model.arrived.wait()
    data(await http.post(f"{THREADS}/{thread_id}/cancel"))
    await database.pool.execute(_REOPEN, thread_id)

    async def is_over() -> bool:
        return [step["status"] for step in await _steps(database, thread_id)] == ["superseded"]

    await until(is_over, what="the step is over", seconds=5)
    assert len(model.requests) == 1

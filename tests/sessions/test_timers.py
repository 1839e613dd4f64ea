"""Timers: events that the service sends by itself, as long as a session stays in a state."""

import asyncio
from datetime import UTC, datetime

import httpx
import pytest
import yaml
from fastapi import FastAPI

from app.db.engine import Database
from app.settings import Settings
from app.worker import serving
from tests.flows.test_nested_charts import LEAVES, SHOP
from tests.sessions.test_yaml_flows import save
from tests.support.flows import Session
from tests.support.http import NewKey
from tests.support.manifests import post
from tests.support.threads import THREADS, Reader, data, said, texts

REMINDER = """
model:
  reminders: {type: integer, default: 0}
  stopped: {type: boolean, default: false}
statechart:
  states:
    talk:
      initial: true
      after: {3s: expire}
      transitions: [{event: close expire, target: closed}]
      states:
        asking:
          initial: true
          after: [{delay: 1.5s, event: remind}, {delay: 1h, event: remind}]
          transitions:
            - event: remind
              cond: not stopped
              refusal: Nobody is to be reminded.
              "on": {assign: {location: reminders, expr: reminders + 1}}
              target: reminded
            - {event: again, target: asking}
            - {event: hush, "on": {assign: {location: stopped, expr: "true"}}}
            - {event: work, target: working}
        reminded: {transitions: [{event: again, target: asking}]}
        working: {transitions: [{event: worked, target: reminded}]}
    closed: {transitions: [{event: again, target: talk}]}
templates:
  asking: Well?
  reminded: "Still there {{ reminders }}"
  working: {invoke: echo, template: "{{ actor_input }}", config: {delay_seconds: 0.9}}
  closed: Closed.
"""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(
        update={
            "flows_package": "tests.support.engine_flows",
            "step": settings.step.model_copy(update={"sweep_seconds": 0.05}),
        }
    )


@pytest.fixture
async def reminder(api: FastAPI, new_key: NewKey) -> str:
    await save(api, await new_key(), "reminder", yaml.safe_load(REMINDER))
    return "reminder"


async def log_of(client: httpx.AsyncClient, session: Session) -> list[tuple[str, str]]:
    """The events of a session, oldest first, with what came of them."""
    answer = await post(client, "logs/session", name=session.id)
    items = answer["data"]["data"]["items"]
    return [(item["text"], item["status"]) for item in items if item["type"] == "event"]


async def polled_until(session: Session, response: str) -> None:
    """Polls until that is what the session said last."""
    for _ in range(200):
        if (await session.poll(wait=0))["response"] == response:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(session.answer)


async def polled_to(session: Session, timers: int) -> None:
    """Polls until so many timers run."""
    for _ in range(200):
        if len((await session.poll(wait=0))["timers"] or ()) == timers:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(session.answer)


async def test_a_timer_sends_its_event_once_and_only_while_its_state_is_not_left(
    client: httpx.AsyncClient, reminder: str, worker: None
) -> None:
    asked = await Session.start(client, reminder)
    assert asked.answer["next_actions"] == ["again", "hush", "work", "close"]
    assert (await asked.post("remind")).status_code == 409  # the service's alone
    assert (await asked.post("expire")).status_code == 409
    timers = (await asked.poll(wait=0))["timers"]
    assert [(timer["event"], timer["state"]) for timer in timers] == [
        ("remind", "asking"),
        ("expire", "talk"),
        ("remind", "asking"),
    ]
    first = datetime.fromisoformat(timers[0]["due"])
    assert 0 < (first - datetime.now(UTC)).total_seconds() < 1.5
    described = await post(client, "describe/session", name=asked.id)
    assert described["data"]["status"]["timers"] == timers
    closed = await Session.start(client, reminder)
    await closed.send("close")
    assert (await closed.poll(wait=0))["timers"] is None
    again = await Session.start(client, reminder)
    started = {timer["event"]: timer["due"] for timer in (await again.poll(wait=0))["timers"][:2]}
    await again.send("again")  # that timer starts anew, those of the states around it go on
    renewed = {timer["event"]: timer["due"] for timer in (await again.poll(wait=0))["timers"][:2]}
    assert renewed.keys() == {"remind", "expire"}
    assert datetime.fromisoformat(renewed["remind"]) > datetime.fromisoformat(started["remind"])
    assert renewed["expire"] == started["expire"]

    for session in (asked, again):
        await polled_until(session, "Closed.")
    texts = [("assistant", text) for text in ("Well?", "Still there 1", "Closed.")]
    assert await asked.dialogue() == texts
    assert await again.dialogue() == [texts[0], *texts]
    assert await log_of(client, asked) == [
        ("start: (start) → talk asking, by ann@acme.example", "done"),
        ("remind: talk asking → talk reminded", "done"),
        ("expire: talk reminded → closed", "done"),
    ]
    assert (await asked.poll(wait=0))["timers"] is None
    assert len(await log_of(client, closed)) == 2
    assert (await asked.send("again"))["response"] == "Well?"
    assert len((await asked.poll(wait=0))["timers"]) == 3


async def test_an_event_that_is_not_taken_is_dropped_and_the_session_goes_on(
    client: httpx.AsyncClient, reminder: str, worker: None
) -> None:
    session = await Session.start(client, reminder)
    await session.send("hush")
    await polled_to(session, 2)
    assert (await log_of(client, session))[-1] == (
        "remind: talk asking → talk asking: dropped: Nobody is to be reminded.",
        "dropped",
    )
    assert session.answer["error"] is None
    assert session.answer["response"] is None
    assert (await session.send("close"))["response"] == "Closed."


async def test_a_timer_waits_for_the_end_of_an_invocation(
    client: httpx.AsyncClient, reminder: str, worker: None
) -> None:
    session = await Session.start(client, reminder)
    answer = await session.send("work", "hello")
    assert answer["response"] in ("Still there 0", "Closed.")
    await polled_until(session, "Closed.")
    assert [text.partition(":")[0] for text, _ in await log_of(client, session)] == [
        "start",
        "work",
        "worked",
        "expire",
    ]


async def test_timers_outlive_all_processes_and_end_with_their_session(
    client: httpx.AsyncClient, reminder: str, settings: Settings, database: Database
) -> None:
    late, gone = [await Session.start(client, reminder) for _ in range(2)]
    await database.pool.execute(
        "UPDATE session SET expires_at = clock_timestamp() WHERE id = $1", gone.id
    )
    await asyncio.sleep(3.1)
    async with serving(settings), serving(settings):
        await polled_until(late, "Closed.")
        await asyncio.sleep(0.2)
    assert [text.partition(":")[0] for text, _ in await log_of(client, late)] == [
        "start",
        "remind",
        "expire",
    ]
    events = await database.pool.fetch(
        "SELECT version FROM transition WHERE session_id = $1", gone.id
    )
    assert len(events) <= 1


async def test_timers_that_nobody_stops_come_to_an_end(
    api: FastAPI, client: httpx.AsyncClient, new_key: NewKey, settings: Settings
) -> None:
    ticking = {"initial": True, "after": {"1s": "tick"}, "transitions": [{"event": "tick"}]}
    ticking["transitions"] = [{"event": "tick", "target": "waiting"}, {"event": "go"}]
    spec = {"statechart": {"states": {"waiting": ticking}}, "templates": {"waiting": "tick"}}
    await save(api, await new_key(), "ticking", spec)
    session = settings.session.model_copy(update={"max_unattended_changes": 2})
    async with serving(settings.model_copy(update={"session": session})):
        ticking_session = await Session.start(client, "ticking")
        await polled_to(ticking_session, 0)
    assert await log_of(client, ticking_session) == [
        ("start: (start) → waiting, by ann@acme.example", "done"),
        ("tick: waiting → waiting", "done"),
        ("tick: waiting → waiting", "done"),
        (
            "tick: waiting → waiting: dropped: Nobody has acted in the last 2 changes of the "
            "session.",
            "dropped",
        ),
    ]


async def test_who_follows_a_thread_is_told_at_once(
    api: FastAPI, client: httpx.AsyncClient, new_key: NewKey, worker: None
) -> None:
    spec = {
        "statechart": {
            "states": {
                "asked": {
                    "initial": True,
                    "after": {"1s": "remind"},
                    "transitions": [
                        {"event": "user_message", "target": "asked"},
                        {"event": "remind", "target": "reminded"},
                    ],
                },
                "reminded": {"transitions": [{"event": "user_message", "target": "asked"}]},
            }
        },
        "templates": {"asked": "Well?", "reminded": "Still there?"},
    }
    await save(api, await new_key(), "nagging", spec)
    body = {"messages": [said("Hello.")], "flow": "nagging"}
    thread = data(await client.post(THREADS, json=body), 201)
    reader = Reader(client, thread["thread_id"])
    await reader.poll()
    while reader.status != "reminded":
        await reader.poll(wait=10)
    assert texts({"messages": reader.messages})[-1] == "Still there?"
    assert len(reader.deltas) <= 3  # one is held until the timer sends its event


async def test_a_timer_leads_to_an_invocation_and_says_nothing_for_the_user(
    client: httpx.AsyncClient, worker: None
) -> None:
    session = await Session.start(client, "late")
    assert session.answer["next_actions"] == []
    await polled_until(session, "late")
    assert await session.dialogue() == [("assistant", "idle"), ("assistant", "late")]


@pytest.mark.parametrize("flow", ["timing", "async_timing"])
async def test_code_sends_events_with_a_delay(
    client: httpx.AsyncClient, worker: None, flow: str
) -> None:
    left, touched = [await Session.start(client, flow) for _ in range(2)]
    await left.send("arm", "twice")
    await left.send("leave")
    assert (await left.poll(wait=0))["timers"] is None
    await touched.send("arm", "twice")
    assert [timer["event"] for timer in (await touched.poll(wait=0))["timers"]] == ["ring"] * 2
    await touched.send("touch", "one")
    assert len((await touched.poll(wait=0))["timers"]) == 1

    await polled_until(touched, "over: second")
    assert (await left.poll(wait=0))["response"] == "idle"


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        ("1", "delay is not from 1 second to 366 days"),
        ("-1000", "delay is not from 1 second"),
        ("nan", "delay is not from 1 second"),
        ("inf", "delay is not from 1 second"),
        ("1e14", "delay is not from 1 second"),
        ("unknown", "'nothing', which is no event of it"),
        ("library", "'error.execution', which is no event of it"),
        ("object", "what is no short text"),
        ("many", "more than 50 delayed events"),
    ],
)
async def test_code_that_sends_what_cannot_be_sent_later_is_refused(
    client: httpx.AsyncClient, said: str, detail: str
) -> None:
    session = await Session.start(client, "timing")
    answer = await session.post("arm", said)
    assert answer.status_code == 409, answer.text
    assert detail in answer.json()["detail"]
    assert (await session.poll(wait=0))["timers"] is None


async def test_a_history_leads_back_to_where_the_session_was(
    api: FastAPI, client: httpx.AsyncClient, new_key: NewKey
) -> None:
    spec = {"statechart": SHOP, "templates": {state: state for state in LEAVES}}
    await save(api, await new_key(), "shop", spec)
    session = await Session.start(client, "shop")
    for event, response in (
        ("pick", "size"),
        ("next", "address"),
        ("help", "helping"),
        ("back", "address"),
        ("next", "thanks"),
    ):
        assert (await session.send(event))["response"] == response

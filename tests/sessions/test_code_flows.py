"""Flows in code over HTTP with a real worker: hooks, faults, the dialogue, render data, files."""

from datetime import datetime
from typing import Any

import httpx
import orjson
import pytest
import structlog
import yaml
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from app.flows import own_code
from app.kit.log import configure_logging
from app.settings import Settings
from tests.support.flows import Session


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"flows_package": "tests.support.engine_flows"})


async def test_hooks_guards_validators_and_actions_take_part(client: httpx.AsyncClient) -> None:
    session = await Session.start(client, "hooks", {"from": "7"})
    assert session.answer["response"] == "first 7"
    assert await session.model("entered") == [""]
    await session.send("go", "there")
    assert session.answer["response"] == "second 8"
    await session.send("go", "back")
    assert session.answer["response"] == "first 8"
    assert await session.model("entered") == ["", "there", "back"]


@pytest.mark.parametrize(
    ("said", "status", "code", "detail"),
    [
        ("no", 409, "event-not-accepted", "does not take the event 'go'"),
        ("guard", 409, "event-refused", "(ZeroDivisionError)"),
        ("validator", 409, "event-refused", "That will not do."),
        ("parse", 409, "event-refused", "(ValueError)"),
        ("refuse", 409, "event-refused", "Not today."),
        ("bad", 400, "bad-request", "Bad input."),
        ("action", 409, "event-refused", "(KeyError)"),
        ("type", 409, "event-refused", "(ValidationError)"),
        ("hook", 409, "event-refused", "(RuntimeError)"),
        ("number", 409, "event-refused", "say() takes a role"),
        ("role", 409, "event-refused", "say() takes a role (user, assistant) and a text."),
        ("object", 409, "definition-mismatch", "no JSON"),
        ("NUL", 409, "template-failed", "NUL"),
    ],
)
async def test_an_event_that_the_code_refuses_changes_nothing(
    *,
    client: httpx.AsyncClient,
    caplog: pytest.LogCaptureFixture,
    said: str,
    status: int,
    code: str,
    detail: str,
) -> None:
    session = await Session.start(client, "hooks")
    before = await session.model()
    answer = await session.post("go", said)
    assert answer.status_code == status, answer.text
    problem = answer.json()
    assert problem["type"].endswith(code)
    assert detail in problem["detail"]
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    if code.startswith("event-"):
        assert problem["current_state"] == "first"
        assert problem["possible_events"] == ["go", "note", "drop"]
        assert problem["received_event"] == "go"
    assert ("the flow's code failed" in caplog.text) == (detail.startswith(("(", "That", "say")))
    assert await session.model() == before
    assert (await session.send("go", "fine"))["response"] == "second 1"


@pytest.mark.parametrize("flow", ["personal", "overheard"])
async def test_nothing_that_one_session_decides_is_remembered_for_another(
    client: httpx.AsyncClient, flow: str
) -> None:
    for name in ("Ada", "Ben", "Cy"):
        session = await Session.start(client, flow, {"name": name})
        assert session.answer["response"] == f"for {name}"
        for _ in range(3):
            assert (await session.send("go"))["response"] == f"for {name}"


async def test_no_client_sends_what_the_library_sends_itself(client: httpx.AsyncClient) -> None:
    session = await Session.start(client, "nested")
    assert session.answer["next_actions"] == ["step"]
    for event in ("done_state_outer", "done.state.outer"):
        answer = await session.post(event)
        assert (answer.status_code, answer.json()["possible_events"]) == (409, ["step"])
    assert (await session.send("step"))["response"] == "after"
    assert session.answer["next_actions"] == ["again"]


async def test_an_invoker_that_would_end_the_worker_fails_its_step(
    client: httpx.AsyncClient, worker: None
) -> None:
    for _ in range(2):
        session = await Session.start(client, "leaving")
        assert (await session.send("go"))["error"] == "Leaver failed (SystemExit)"


@pytest.mark.parametrize("flow", ["blocking", "waiting"])
@pytest.mark.parametrize(
    ("event", "said", "detail"),
    [
        ("go", "delay", "its delay is not from 1 second"),
        ("go", "exit", "(CodeExitError)"),
        ("go", "cancel", "(CodeExitError)"),
        ("ping", "", "more than 200 events"),
        ("pong", "", "more than 200 events"),
    ],
)
async def test_hooks_that_would_hold_the_service_up_are_refused(
    client: httpx.AsyncClient, flow: str, event: str, said: str, detail: str
) -> None:
    await _refused(client, flow, event, said, detail)


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        ("wait", "takes longer than 0.2 seconds"),
        ("stay", "takes longer than 0.2 seconds"),
        ("async exit", "(CodeExitError)"),
    ],
)
async def test_an_async_hook_has_a_deadline(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, said: str, detail: str
) -> None:
    monkeypatch.setattr(own_code, "MAX_SECONDS", 0.2)
    await _refused(client, "waiting", "go", said, detail)


async def _refused(
    client: httpx.AsyncClient, flow: str, event: str, said: str, detail: str
) -> None:
    """The event is refused, and the session is as it was."""
    session = await Session.start(client, flow)
    answer = await session.post(event, said)
    assert answer.status_code == 409, answer.text
    problem = answer.json()
    assert problem["type"].endswith("event-refused")
    assert detail in problem["detail"]
    assert problem["current_state"] == "a"
    assert await session.model("count") == 0
    assert (await session.send("go", "fine"))["response"] == "b"


@pytest.mark.parametrize(
    ("flow", "said"), [("blocking", "block"), ("waiting", "block"), ("waiting", "async block")]
)
async def test_a_hook_that_blocks_the_event_loop_is_logged(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, flow: str, said: str
) -> None:
    # A logger keeps the configuration of its first use, which may have been another test's.
    configure_logging()
    monkeypatch.setattr(own_code, "log", structlog.get_logger(own_code.__name__))
    session = await Session.start(client, flow)
    with capture_logs([merge_contextvars]) as lines:
        assert (await session.send("go", said))["response"] == "b"
    (line,) = [line for line in lines if "blocks the event loop" in line["event"]]
    assert (line["flow"], line["state"]) == (flow, "a")
    assert line["seconds"] >= 0.1


async def test_a_seed_that_fails_is_a_bad_request(client: httpx.AsyncClient) -> None:
    for seed, detail in (({"boom": 1}, "(KeyError)"), ({"from": "secret"}, "(ValueError)")):
        answer = await client.post("/v1/ai/hooks/start_session", json={"seed_data": seed})
        assert answer.status_code == 400
        assert detail in answer.json()["detail"]
        assert answer.json()["errors"][0]["loc"] == ["seed_data"]
        assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("count", "msg"),
    [(-1, "is refused (ValueError)"), (-2, "Value error, Count from 0 on.")],
)
async def test_a_seed_is_refused_with_what_is_written_for_clients(
    client: httpx.AsyncClient, count: int, msg: str
) -> None:
    answer = await client.post("/v1/ai/hooks/start_session", json={"seed_data": {"from": count}})
    assert answer.status_code == 400
    assert answer.json()["errors"] == [{"loc": ["seed_data", "count"], "msg": msg}]
    assert "secret" not in answer.text


@pytest.fixture
async def matrix(client: httpx.AsyncClient, worker: None) -> Session:
    return await Session.start(client, "the-matrix", {"colour": "red"})


HELLO = ("assistant", "Hello, red.")


async def test_from_user_to_user_the_template_is_kept(matrix: Session) -> None:
    assert await matrix.dialogue() == [HELLO]
    answer = await matrix.send("show", "me")
    assert await matrix.dialogue() == [HELLO, ("assistant", answer["response"])]


async def test_from_user_to_invoker_the_input_is_kept_as_it_came(matrix: Session) -> None:
    await matrix.send("think", "  {{ raw }} ")
    dialogue = await matrix.dialogue()
    assert dialogue[1] == ("user", "  {{ raw }} ")


async def test_from_invoker_to_user_the_template_is_kept(matrix: Session) -> None:
    answer = await matrix.send("think", "x")
    dialogue = await matrix.dialogue()
    assert dialogue == [HELLO, ("user", "x"), ("assistant", answer["response"])]
    assert orjson.loads(answer["response"])["state"] == ["tells", "Tells all"]


async def test_from_invoker_to_invoker_nothing_is_kept(
    client: httpx.AsyncClient, worker: None
) -> None:
    session = await Session.start(client, "the-matrix", {"refine": True})
    answer = await session.send("think", "x")
    hello = ("assistant", "Hello, blue.")
    assert await session.dialogue() == [hello, ("user", "x"), ("assistant", answer["response"])]
    assert orjson.loads(answer["response"])["actor_input"] == "refined"


async def test_a_template_sees_what_the_invoker_before_it_gave(matrix: Session) -> None:
    """The invoker gives back what its template saw; the next state's template sees that."""
    said = '{"a": [1, {"b": null}]}'
    shown = orjson.loads((await matrix.send("think", said))["response"])
    invoked = shown["parsed"]
    assert orjson.loads(shown["actor_input"]) == invoked

    def check(seen: dict[str, Any], state: list[str], dialogue: list[tuple[str, str]]) -> None:
        assert seen["state"] == state
        assert seen["session_id"] == matrix.id
        assert seen["colour"] == "red"
        assert datetime.fromisoformat(seen["now"]).tzinfo is not None
        records = [{"role": role, "content": text} for role, text in dialogue]
        shown = [{name: m[name] for name in ("role", "content")} for m in seen["dialogue"]]
        assert shown == records
        assert [(m["actor"], m["actor_text"]) for m in seen["dialogue"]] == dialogue
        assert all(datetime.fromisoformat(m["timestamp"]).tzinfo for m in seen["dialogue"])
        assert yaml.safe_load(seen["history"]) == records

    check(invoked, ["thinks", "Thinks hard"], [HELLO, ("user", said)])
    check(shown, ["tells", "Tells all"], [HELLO, ("user", said)])
    assert invoked["actor_input"] == said
    assert invoked["parsed"] == {"a": [1, {"b": None}]}
    plain = orjson.loads((await matrix.send("show", "no JSON"))["response"])
    assert plain["parsed"] == plain["actor_input"] == "no JSON"


async def test_a_hook_overrides_what_is_kept(client: httpx.AsyncClient, worker: None) -> None:
    session = await Session.start(client, "overriding")
    assert session.answer["response"] is None
    assert await session.dialogue() == []
    await session.send("shout", "hey")
    kept = [("assistant", "shout: quiet -> loud: hey"), ("user", "hey")]
    assert await session.dialogue() == kept
    await session.send("back")
    await session.send("hush", "psst")
    assert await session.dialogue() == kept
    await session.send("back")
    await session.send("work", "private")
    assert await session.dialogue() == [*kept, ("user", "(hidden)")]


async def test_templates_see_the_same_dialogue_whatever_they_are_sent_to(
    client: httpx.AsyncClient, worker: None
) -> None:
    session = await Session.start(client, "histories")
    assert session.answer["response"] == "[]", "an empty history is nothing, between brackets"
    await session.send("go", "first")
    for event in ("repeat", "echo", "ask_model", "call"):
        lengths = [len(text) for _, text in await session.dialogue()]
        answer = await session.send(event, "Hi")
        seen = answer["response"].removeprefix("[echo model] You said: ")
        assert orjson.loads(seen) == [*lengths, 2], event


async def test_what_an_invocation_gave_is_not_kept_as_the_users_words(
    client: httpx.AsyncClient, worker: None
) -> None:
    session = await Session.start(client, "histories")
    await session.send("go")
    before = await session.dialogue()
    answer = await session.send("keep", "Say it")
    kept = [("user", "Say it"), ("assistant", "the model's words")]
    assert await session.dialogue() == [*before, *kept]
    assert answer["response"] == "the model's words"


async def test_templates_in_files_and_an_existing_invoker(
    client: httpx.AsyncClient, worker: None
) -> None:
    session = await Session.start(client, "folders")
    assert session.answer["response"] == "Hello"
    answer = await session.send("ask", "hi")
    assert answer["response"] == "[[echo model] You said: again: You said hi! of 2]"


async def test_the_flows_are_listed(client: httpx.AsyncClient) -> None:
    listed = (await client.get("/v1/ai/flows")).text
    for key in ("chat", "hooks", "the-matrix", "folders"):
        assert f'"{key}"' in listed

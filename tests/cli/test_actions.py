"""The commands about actions: what waits for people, and their decisions."""

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from app.kit.certificates import NO_CERTIFICATES
from tests.cli.conftest import Statewright
from tests.support.dev import RunningDev
from tests.support.flows import flow_of
from tests.support.manifests import manifest, many

TOOLS = [
    {"name": name, "description": "", "input_schema": {"type": "object"}}
    for name in ("client_one", "client_two")
]


@pytest.fixture
def thread(dev: RunningDev, ok: Callable[..., str]) -> str:
    """A thread that waits for an approval, and for two tools of its client's."""
    connection = {"baseUrl": "https://shop.example", "authMethod": "none"}
    http = {"connection": "shop", "method": "DELETE", "path": "/orders"}
    tool = {"description": "Deletes all.", "approval": "always", "http": http}
    shop = manifest("ApiConnection", "shop", {"connection": connection})
    ok("apply", "-f", "-", stdin=many(shop, manifest("Tool", "delete-all", tool)))
    text = "call delete-all\ncall client_one\ncall client_two\nthen\nDone."
    body = {
        "messages": [{"role": "user", "content": [{"text": text}]}],
        "model_profile": "script",
        "tools": ["delete-all"],
        "client_tools": TOOLS,
    }
    headers = {"Authorization": f"Bearer {dev.state['api_key']}"}
    url = f"{dev.state['base_url']}/v1/ai/threads"
    answer = httpx.post(url, json=body, headers=headers, verify=NO_CERTIFICATES).json()
    thread_id: str = answer["data"]["thread_id"]
    return thread_id


def test_a_prompt_whose_turn_waits_says_so(
    ok: Callable[..., str], statewright: Statewright, thread: str
) -> None:
    template = {
        "modelProfile": "script",
        "tools": ["delete-all"],
        "messages": [{"role": "user", "content": [{"text": "{{prompt}}"}]}],
    }
    spec = {"requestTemplate": template, "variables": [{"name": "prompt"}]}
    ok("apply", "-f", "-", stdin=many(manifest("Agent", "deleter", spec)))
    waits = statewright("prompt", "deleter", "call delete-all")
    assert waits.exit_code == 0
    assert waits.stdout == ""
    assert "waits: statewright get actions" in waits.stderr


def test_what_a_flow_asks_is_listed_and_answered(
    dev: RunningDev, ok: Callable[..., str], statewright: Statewright
) -> None:
    ask = {"message": "How much\nfor it?", "schema": {"type": "number", "minimum": 1}}
    ok("apply", "-f", "-", stdin=many(manifest("Flow", "asking", flow_of({"ask": ask}))))

    def send(path: str, body: dict[str, Any]) -> Any:
        headers = {"Authorization": f"Bearer {dev.state['api_key']}"}
        url = f"{dev.state['base_url']}/v1/ai/asking/{path}"
        return httpx.post(url, json=body, headers=headers, timeout=20).json()

    session = send("start_session", {})["session_id"]
    send("event", {"session_id": session, "event": "user_input", "event_input": "it"})
    while "input" not in (table := ok("get", "actions", session)):
        time.sleep(0.05)
    [_, line] = table.splitlines()
    assert "How much for it?" in line
    action = line.split()[0]

    refused = statewright("answer", action, "--result", "0")
    assert refused.exit_code == 1
    assert "less than the minimum of 1" in refused.output
    assert ok("answer", action, "--result", "2.5").split() == [action, "answered"]
    poll = {"session_id": session, "event": "poll"}
    while (answer := send("event?wait=5", poll))["next_actions"] == ["poll"]:
        pass
    assert answer["response"] == "2.5"
    log = ok("logs", "session", session)
    assert "input How much for it?: by usr_" in log


def test_a_budget_that_is_used_up_is_shown_and_raised(
    dev: RunningDev, ok: Callable[..., str], statewright: Statewright
) -> None:
    body = {
        "messages": [{"role": "user", "content": [{"text": "call client_none\nthen\nDone."}]}],
        "model_profile": "script",
        "budget": {"session": {"max_steps": 1}},
    }
    headers = {"Authorization": f"Bearer {dev.state['api_key']}"}
    url = f"{dev.state['base_url']}/v1/ai/threads"
    thread = httpx.post(url, json=body, headers=headers, verify=NO_CERTIFICATES).json()["data"]
    while "budget" not in (table := ok("get", "actions", thread["thread_id"])):
        time.sleep(0.05)
    assert "The budget of the session is used up: 1 steps." in table
    action = table.splitlines()[1].split()[0]

    refused = statewright("approve", action)
    assert refused.exit_code == 1
    assert 'say the new limit, as {"max_steps": …}' in refused.output
    assert statewright("approve", action, "--arguments", '{"max_steps": 1}').exit_code == 1
    raised = ok("approve", action, "--arguments", '{"max_steps": 2}')
    assert raised.split() == [action, "approved"]
    assert statewright("deny", action).exit_code == 1


def open_actions(ok: Callable[..., str], thread: str) -> dict[str, str]:
    """The ids of the open actions of a thread, by tool."""
    listed: list[dict[str, Any]] = json.loads(ok("get", f"actions/{thread}", "-o", "json"))
    return {item["tool_name"]: item["action_id"] for item in listed}


def test_actions_are_listed_and_decided(
    ok: Callable[..., str], statewright: Statewright, thread: str
) -> None:
    while len(actions := open_actions(ok, thread)) < len(TOOLS) + 1:
        time.sleep(0.05)
    table = ok("get", "actions", thread)
    assert [line.split()[:3] for line in table.splitlines()[1:]] == [
        [actions[name], kind, name]
        for name, kind in (
            ("client_two", "client_tool"),
            ("client_one", "client_tool"),
            ("delete-all", "approval"),
        )
    ]
    for words, says in (
        (("answer", actions["client_one"], "--result", "{"), "--result is no JSON."),
        (("approve", actions["delete-all"], "--arguments", "1"), "dictionary"),
        (("approve", "act_none"), "There is no action 'act_none'."),
    ):
        refused = statewright(*words)
        assert refused.exit_code == 1
        assert says in refused.output

    assert ok("deny", actions["delete-all"], "-m", "No.").split() == [
        actions["delete-all"],
        "denied",
    ]
    ok("answer", actions["client_one"], "--result", '{"n": 1}')
    ok("deny", actions["client_two"])
    assert open_actions(ok, thread) == {}
    assert statewright("approve", actions["delete-all"]).exit_code == 1

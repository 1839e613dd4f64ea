"""`statewright retry`, and the list of what failed."""

from collections.abc import Callable, Iterator

import httpx
import pytest
import yaml

from app.kit.certificates import NO_CERTIFICATES
from tests.cli.conftest import Statewright
from tests.support.dev import RunningDev, wait_for
from tests.support.manifests import manifest

Ok = Callable[..., str]

# Its second step fails for good at each attempt.
SPEC = {
    "statechart": {
        "states": {
            "asking": {"initial": True, "transitions": [{"event": "go", "target": "working"}]},
            "working": {"transitions": [{"event": "done", "target": "asking"}]},
        }
    },
    "templates": {
        "asking": "{{ actor_input }}",
        "working": {
            "chain": [
                {"invoke": "llm", "template": "first"},
                {"invoke": "llm", "template": "{{ 1 // actor_input | int }}"},
            ]
        },
    },
}


@pytest.fixture
def failed(dev: RunningDev, ok: Ok) -> Iterator[list[str]]:
    """Two sessions whose last turn failed, in that order, and one that waits for its first."""
    ok("apply", "-f", "-", stdin=yaml.safe_dump(manifest("Flow", "fragile", SPEC)))
    headers = {"Authorization": f"Bearer {dev.state['api_key']}"}
    with httpx.Client(
        base_url=f"{dev.state['base_url']}/v1/ai/fragile", headers=headers, verify=NO_CERTIFICATES
    ) as client:
        made = [client.post("/start_session").json()["session_id"] for _ in range(3)]
        for session_id in made[:2]:
            event = {"session_id": session_id, "event": "go", "event_input": "0"}
            assert client.post("/event", json=event).status_code == 200
            _wait_until_failed(ok, session_id)
    yield made
    ok("delete", "session", *made)


def _wait_until_failed(ok: Ok, name: str) -> None:
    of_flow = ("get", "sessions", "--failed", "--flow", "fragile", "-o", "name")
    wait_for(lambda: f"session/{name}" in ok(*of_flow), seconds=20, what="a failed turn")


def test_what_failed_is_listed_and_retried(
    ok: Ok, statewright: Statewright, failed: list[str]
) -> None:
    first, second, waiting = failed
    of_flow = ("--failed", "--flow", "fragile")

    table = ok("get", "sessions", *of_flow)
    dry = ok("retry", "sessions", *of_flow, "--dry-run")
    asked = statewright("retry", "sessions", *of_flow, stdin="n\n")
    wrong_step = statewright("retry", "session", first, "--step", "/0")
    several = statewright("retry", "sessions", first, waiting, "ath_none")
    _wait_until_failed(ok, first)
    by_step = ok("retry", f"session/{second}", "--step", "/1")
    _wait_until_failed(ok, second)
    confirmed = statewright("retry", "sessions", *of_flow, "--limit", "1", stdin="y\n")

    titles, *rows = [line.split() for line in table.splitlines()]
    assert titles == ["NAME", "FLOW", "STATE", "TITLE", "ERROR", "MESSAGES", "MODIFIED"]
    assert {row[0] for row in rows} == {first, second}
    assert dry.splitlines() == [f"session/{name} retried (dry run)" for name in (first, second)]
    assert asked.exit_code == 1
    assert "Retry these 2 sessions?" in asked.stderr
    assert "Nothing was changed." in asked.stderr
    assert wrong_step.exit_code == 1
    assert "what is left to do: '/1'" in wrong_step.stderr
    assert several.exit_code == 1
    assert [line.partition(":")[0] for line in several.stdout.splitlines()] == [
        f"session/{first} retried",
        f"session/{waiting} not retried",
        "session/ath_none not retried",
    ]
    assert by_step == f"session/{second} retried\n"
    assert confirmed.exit_code == 0
    assert confirmed.stdout.splitlines()[-1].endswith(f"session/{first} retried")
    assert f"session/{first} will be retried" in confirmed.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["session"], "Which session? Give its name."),
        (["sessions", "--flow", "x"], "--flow and --agent narrow --failed"),
        (["session", "a", "--failed"], "names, or --failed"),
        (["session", "a", "b", "--step", "/1"], "--step is of one session"),
        (["agent", "a"], "does not have the verb 'retry'"),
        (["session", "ath_none"], "There is no Session 'ath_none'."),
    ],
)
def test_what_cannot_be_retried_is_refused_in_one_line(
    statewright: Statewright, words: list[str], said: str
) -> None:
    refused = statewright("retry", *words)

    assert refused.exit_code == 1
    assert said in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_where_nothing_failed_nothing_is_retried(statewright: Statewright) -> None:
    done = statewright("retry", "sessions", "--failed", "--agent", "nobody")

    assert done.exit_code == 0
    assert done.stdout == ""
    assert "No failed sessions found." in done.stderr

"""The verdict of the chaos run: a good history passes, and each bad one is named for what it is."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.audit import Audit, StepChange, StoredEvent, StoredTransition
from tests.chaos.client_checks import check_clients
from tests.chaos.fault import Fault
from tests.chaos.history import Fate, History, Sent, Try, fault_of
from tests.chaos.step_checks import check_steps
from tests.chaos.upstream import Call

_CALL = Call("stp", ["tok"], 11.0, "good", text="answer", ended=12.0, sent=True)
_CHANGE = StepChange(
    *(1, 10.0, "stp", "ath", "leaf", "", None, "queued"),
    attempt=0,
    failures=0,
    losses=0,
    failed_before=None,
    lease=None,
    max_attempts=4,
    result=None,
    error=None,
)


def _changes(*steps: dict[str, Any]) -> list[StepChange]:
    """A step's changes: each is the one before with some values changed, a second later."""
    changes = [_CHANGE]
    for number, values in enumerate(steps, start=2):
        last = changes[-1]
        kept = {"before": last.status, "failed_before": last.failures, "at": last.at + 0.5}
        changes.append(replace(last, seq=number, **{**kept, **values}))
    return changes


_CLAIM: dict[str, Any] = {"status": "running", "attempt": 1}
_TAKEOVER: dict[str, Any] = {"attempt": 2, "losses": 1, "lease": 14.0, "at": 14.5}
_DONE: dict[str, Any] = {"status": "done", "result": "answer", "at": 12.5}


def test_a_step_that_is_claimed_and_answered_is_good() -> None:
    assert check_steps(_changes(_CLAIM, _DONE), [_CALL], []) == []


@pytest.mark.parametrize(
    ("changes", "calls", "said"),
    [
        (_changes(_CLAIM, _TAKEOVER), [], "lost its lease and nothing was wrong"),
        (_changes(_CLAIM, _DONE | {"result": "another"}), [_CALL], "was never answered"),
        (_changes(_CLAIM, _TAKEOVER, _DONE | {"at": 15.0}), [_CALL], "that had lost it was taken"),
        (_changes(_CLAIM, _DONE), [_CALL, replace(_CALL, arrived=11.2)], "two calls at once"),
        (_changes(_CLAIM, _DONE), [_CALL, replace(_CALL, arrived=13.0)], "after its success"),
        (_changes(_CLAIM, _DONE), [_CALL, replace(_CALL, arrived=13.0)], "2 calls for 1 attempts"),
        (
            _changes(_CLAIM, {"status": "queued", "failures": 1, "at": 12.5}),
            [_CALL],
            "an answer was destroyed",
        ),
        (
            _changes(_CLAIM, {"status": "queued", "failures": 1, "at": 12.5}),
            [_CALL],
            "1 failures for 0 calls",
        ),
        (_changes(_CLAIM, {"status": "failed", "at": 12.5}), [_CALL], "failed without a reason"),
        (_changes(_CLAIM, _DONE), [replace(_CALL, key="other")], "a call of no step"),
    ],
)
def test_what_a_step_may_not_do_is_found(
    changes: Sequence[StepChange], calls: Sequence[Call], said: str
) -> None:
    assert any(said in violation for violation in check_steps(changes, calls, []))


def test_a_lock_explains_the_lost_lease_of_its_own_step_alone() -> None:
    changes = _changes(_CLAIM, _TAKEOVER)
    assert check_steps(changes, [], [Fault("lock step", 10.0, "stp", 15.0)]) == []
    assert check_steps(changes, [], [Fault("lock step", 10.0, "another", 15.0)]) != []
    assert check_steps(changes, [], [Fault("lock session", 10.0, "ath", 15.0)]) != []
    assert check_steps(changes, [], [Fault("kill worker", 11.0, "worker-0", 12.0)]) == []
    assert check_steps(changes, [], [Fault("kill worker", 20.0, "worker-0", 21.0)]) != []


_WORD = "tok0123456789ab"
_SENT = Sent("ath", "paired", _WORD, "key", is_ephemeral=False, fate=Fate.ACKED)
_EVENT = StoredEvent(1.0, "evt", "ath", "go", _WORD, "key")
_APPLIED = StoredTransition(1.0, "ath", 1, "event:evt", "go", "order", None)


def _found(
    sent: Sent = _SENT,
    events: Sequence[StoredEvent] = (_EVENT,),
    transitions: Sequence[StoredTransition] = (_APPLIED,),
    tries: Sequence[Try] = (),
    faults: Sequence[Fault] = (),
) -> list[str]:
    history = History(sent=[sent], tries=list(tries))
    return check_clients(history, Audit([], list(events), [], list(transitions)), [], faults)


def test_an_event_that_is_applied_once_is_good() -> None:
    assert _found() == []


def test_what_may_not_come_of_an_event_is_found() -> None:
    twice = (_EVENT, replace(_EVENT, id="evt2"))
    both = (_APPLIED, replace(_APPLIED, version=2, cause="event:evt2"))
    assert any("applied 0 times" in fault for fault in _found(events=(), transitions=()))
    assert any("applied 2 times" in fault for fault in _found(events=twice, transitions=both))
    assert any(
        "applied and refused" in fault for fault in _found(replace(_SENT, fate=Fate.REFUSED))
    )
    assert any("made no transition" in fault for fault in _found(transitions=()))
    assert any("has gaps" in f for f in _found(transitions=(replace(_APPLIED, version=2),)))


def test_slow_events_are_found_while_redis_does_not_work() -> None:
    calm = [Try(0, "POST /v1/ai/paired/event", 1.0, 1.1, 200)] * 5
    slow = [Try(0, "POST /v1/ai/paired/event", 12.0, 13.2, 200)] * 5
    hung = [Fault("pause redis", 10.0, "valkey", 18.0)]
    assert any("while Redis did not work" in f for f in _found(tries=calm + slow, faults=hung))
    assert _found(tries=calm + calm, faults=hung) == []


@pytest.mark.parametrize(
    ("status", "content_type", "body", "retry_after", "said"),
    [
        (200, "application/json", {}, None, ""),
        (200, "application/json", None, None, "without a JSON object"),
        (500, "text/plain", None, None, "a 500"),
        (404, "text/plain", None, None, "no problem document"),
        (404, "application/problem+json", {"type": "t"}, None, "without title, status, detail"),
    ],
)
def test_the_form_of_answers(
    status: int, content_type: str, body: object, retry_after: str | None, said: str
) -> None:
    fault = fault_of(status, content_type, body, retry_after)
    assert said in fault if said else not fault


def test_who_is_to_try_again_is_told_when() -> None:
    problem = {"type": "urn:x", "title": "t", "status": 503, "detail": "d"}
    form = (503, "application/problem+json", problem)
    assert "without Retry-After" in fault_of(*form, None)
    assert not fault_of(*form, "1")

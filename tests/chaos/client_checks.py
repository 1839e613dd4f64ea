"""What must be true of what clients sent and were answered: by their history and the audit."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from tests.chaos.audit import Audit
from tests.chaos.client import PATIENCE
from tests.chaos.fault import OF_REDIS, Fault
from tests.chaos.history import Fate, History, Try
from tests.chaos.upstream import Call, tokens_of

_WITHOUT_REDIS = 0.4  # seconds more that an event may take, in the middle
_ENOUGH = 5  # requests, of which the middle says something


def check_clients(
    history: History, audit: Audit, ledger: Sequence[Call], faults: Sequence[Fault]
) -> list[str]:
    """What is wrong, in words."""
    return [
        *history.complaints,
        *_bad_answers(history, faults),
        *_events(history, audit),
        *_transitions(audit),
        *_empty_calls(ledger),
        *_slow_without_redis(history, faults),
    ]


def _bad_answers(history: History, faults: Sequence[Fault]) -> Iterator[str]:
    for one in history.tries:
        if one.status:
            if one.fault:
                yield f"{one.what} at {one.began:.2f}: {one.fault}"
        elif one.fault and not any(
            f.touches(one.began - 1, one.ended) and "api" in f"{f.kind} {f.target}".lower()
            for f in faults
        ):
            yield f"{one.what} at {one.began:.2f}: not answered within {PATIENCE:g} s"


def _events(history: History, audit: Audit) -> Iterator[str]:
    """What was acknowledged is there once, what was refused is not, the rest at most once."""
    for event_id, times in Counter(event.id for event in audit.events).items():
        if times > 1:
            yield f"event {event_id} was stored {times} times"
    events = Counter(token for event in audit.events for token in tokens_of(event.input))
    messages = Counter(
        token for m in audit.messages if m.role == "user" for token in tokens_of(m.content)
    )
    for sent in history.sent:
        # What opens a thread is no input of its event.
        times = (messages if sent.flow == "chat" else events)[sent.token]
        if sent.fate is Fate.ACKED and times != 1:
            yield f"{sent.token} in {sent.session_id} was acknowledged and applied {times} times"
        if sent.fate is Fate.REFUSED and times:
            yield f"{sent.token} in {sent.session_id} was applied and refused: {sent.answer}"
        if sent.fate is Fate.UNKNOWN and times > 1:
            yield f"{sent.token} in {sent.session_id} was applied {times} times"


def _transitions(audit: Audit) -> Iterator[str]:
    """Each event is one transition; the log of each session has no gap; no cause comes twice."""
    causes = Counter((t.session_id, t.cause) for t in audit.transitions)
    for (session_id, cause), times in causes.items():
        if times > 1:
            yield f"{cause} was applied {times} times to {session_id}"
    for event in audit.events:
        if causes[event.session_id, f"event:{event.id}"] != 1:
            yield f"event {event.id} of {event.session_id} made no transition"
    versions: dict[str, list[int]] = defaultdict(list)
    for transition in audit.transitions:
        versions[transition.session_id].append(transition.version)
    for session_id, own in versions.items():
        if own != list(range(1, len(own) + 1)):
            yield f"the log of {session_id} has gaps: {own}"


def _empty_calls(ledger: Sequence[Call]) -> Iterator[str]:
    for call in ledger:
        if not call.said:
            yield f"a call with empty input: {call}"


def _slow_without_redis(history: History, faults: Sequence[Fault]) -> Iterator[str]:
    """An event is taken about as fast while Redis is away or hung as while nothing is wrong."""
    calm = [t.seconds for t in history.tries if _is_event(t) and not _during(t, faults)]
    without = [
        t.seconds
        for t in history.tries
        if _is_event(t)
        and any(_is_without_redis(t, f) for f in faults)
        and {f.kind for f in _during(t, faults)} <= OF_REDIS | {"slow machine"}
    ]
    if len(calm) < _ENOUGH or len(without) < _ENOUGH:
        return
    usual, slow = statistics.median(calm), statistics.median(without)
    if slow > usual + _WITHOUT_REDIS:
        yield f"an event took {slow:.2f} s while Redis did not work, {usual:.2f} s else"


def _is_event(one: Try) -> bool:
    is_sent = one.what.endswith(("/event", "/messages", "/threads", "_ephemeral_session"))
    return one.status in {200, 201} and one.what.startswith("POST") and is_sent and not one.waits


def _is_without_redis(one: Try, fault: Fault) -> bool:
    is_theirs = "valkey" in fault.target or f"api-{one.api}" in fault.target
    return fault.kind in OF_REDIS and is_theirs and fault.began + 1 < one.began < fault.ended


def _during(one: Try, faults: Sequence[Fault]) -> list[Fault]:
    return [f for f in faults if f.touches(one.began - 1, one.ended)]

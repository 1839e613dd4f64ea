"""What must be true of each step: by the audit, the upstream's ledger and the faults."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from tests.chaos.audit import StepChange
from tests.chaos.deployment import LEASE_SECONDS, MAX_LOSSES
from tests.chaos.fault import STOPS_RENEWAL, STOPS_WORKER, Fault
from tests.chaos.upstream import FINAL, GOOD, Call

_SLACK = 1.0  # between a fault and what comes of it, on a busy machine
# What a request ends with whose connection was closed.
_CLOSED = ("the connection failed", "ReadError", "WriteError")
_LATE = "No answer within"
_CLOSING = 0.5  # until the upstream notices that its caller is gone


def check_steps(
    changes: Sequence[StepChange], ledger: Sequence[Call], faults: Sequence[Fault]
) -> list[str]:
    """What is wrong, in words."""
    calls: dict[str, list[Call]] = defaultdict(list)
    for call in ledger:
        calls[call.key].append(call)
    found = [f"a call of no step: {call}" for call in _strangers(changes, ledger)]
    for step_id, own in _by_step(changes).items():
        step = _Step(step_id, own, sorted(calls[step_id], key=lambda call: call.arrived), faults)
        found += [f"step {step_id} of {own[0].session_id}: {fault}" for fault in step.faults()]
    return found


def _by_step(changes: Iterable[StepChange]) -> Mapping[str, list[StepChange]]:
    by_step: dict[str, list[StepChange]] = defaultdict(list)
    for change in changes:
        by_step[change.step_id].append(change)
    return by_step


def _strangers(changes: Iterable[StepChange], ledger: Iterable[Call]) -> list[Call]:
    known = {change.step_id for change in changes}
    return [call for call in ledger if call.key not in known]


class _Step:
    """One step: its changes and its calls, in order."""

    def __init__(
        self,
        step_id: str,
        changes: Sequence[StepChange],
        calls: Sequence[Call],
        faults: Sequence[Fault],
    ) -> None:
        self._id = step_id
        self._changes = changes
        self._calls = calls
        self._faults = faults

    def faults(self) -> Iterator[str]:
        """What is wrong with it, in words."""
        yield from self._lost_leases()
        yield from self._wrong_results()
        yield from self._too_many_calls()
        yield from self._unfair_failures()
        yield from self._destroyed_answers()

    def _lost_leases(self) -> Iterator[str]:
        """A step is taken over only where something kept its worker from renewing the lease."""
        for change in self._changes:
            if not change.is_takeover or change.lease is None:
                continue
            since = change.lease - LEASE_SECONDS - _SLACK
            if not any(
                self._stops_renewal(f) and f.touches(since, change.at) for f in self._faults
            ):
                yield f"attempt {change.attempt - 1} lost its lease and nothing was wrong"

    def _stops_renewal(self, fault: Fault) -> bool:
        return fault.kind in STOPS_RENEWAL or (
            fault.kind == "lock step" and fault.target == self._id
        )

    def _wrong_results(self) -> Iterator[str]:
        """A result is an answer that the upstream gave to the attempt that holds the step."""
        good = {call.text: call for call in self._calls if call.outcome == GOOD}
        claimed = 0.0
        for change in self._changes:
            if change.is_claim:
                claimed = change.at
            if change.status != "done" or change.before == "done" or not self._calls:
                continue
            if change.answer is None:
                continue  # a tool's call that did not work, which the model knows
            call = good.get(change.answer)
            if call is None:
                yield f"its result was never answered: {change.result!r}"
            elif call.arrived < claimed:
                yield f"the result of an attempt that had lost it was taken: {change.result!r}"

    def _too_many_calls(self) -> Iterator[str]:
        """One call for each attempt, and none beside another unless the step was taken away."""
        attempts = sum(change.is_claim for change in self._changes)
        if len(self._calls) > attempts:
            yield f"{len(self._calls)} calls for {attempts} attempts"
        done = next((c.at for c in self._changes if c.status == "done"), None)
        taken = [c.at for c in self._changes if c.is_takeover or c.status == "superseded"]
        for call, following in pairwise(self._calls):
            was_taken = any(at <= following.arrived for at in taken)
            if following.arrived < call.ended - _CLOSING and not was_taken:
                yield f"two calls at once, at {call.arrived:.2f} and {following.arrived:.2f}"
            if done is not None and following.arrived > done and not was_taken:
                yield f"a call at {following.arrived:.2f}, after its success at {done:.2f}"

    def _never_arrived(self) -> int:
        """Attempts whose connection the upstream closed, idle, as they sent their request on it."""
        lost, claimed = 0, 0.0
        for change in self._changes:
            if change.is_claim:
                claimed = change.at
            elif change.new_failures and (change.error or "").endswith(_CLOSED):
                lost += not any(claimed <= call.arrived <= change.at for call in self._calls)
        return lost

    def _overslept(self) -> int:
        """Attempts of a worker that was stopped until their time was up, whatever had come."""
        late, claimed = 0, 0.0
        for change in self._changes:
            if change.is_claim:
                claimed = change.at
            elif change.new_failures and (change.error or "").startswith(_LATE):
                own = [call for call in self._calls if claimed <= call.arrived <= change.at]
                slept = self._slept(claimed, change.at)
                late += slept and all(call.is_answered for call in own)
        return late

    def _slept(self, since: float, until: float) -> bool:
        return any(f.kind in STOPS_WORKER and f.touches(since, until) for f in self._faults)

    def _unfair_failures(self) -> Iterator[str]:
        """Only the upstream's failures are failures of the step; only they can end it."""
        bad = sum(1 for call in self._calls if not call.is_answered)
        bad += self._never_arrived() + self._overslept()
        failures = sum(change.new_failures for change in self._changes)
        if failures > bad:
            yield f"{failures} failures for {bad} calls without an answer"
        for change in self._changes:
            if change.status == "failed" and change.kind == "leaf" and not self._may_fail(change):
                yield f"it failed without a reason: {change.error!r}"

    def _may_fail(self, change: StepChange) -> bool:
        before = [call for call in self._calls if call.arrived <= change.at]
        bad = sum(1 for call in before if not call.is_answered) + self._overslept()
        is_final = any(call.outcome in FINAL for call in before)
        return is_final or bad >= change.max_attempts or change.losses > MAX_LOSSES

    def _destroyed_answers(self) -> Iterator[str]:
        """What the upstream answered in full is the result, unless the lease was lost first."""
        for call in self._calls:
            if not call.is_answered:
                continue
            own = [c for c in self._changes if c.at <= call.arrived]
            number = max((n for n, c in enumerate(own) if c.is_claim), default=None)
            if number is None or number + 1 >= len(self._changes):
                continue
            if own[number].is_takeover:
                continue  # it may be the call of the attempt before
            end = self._changes[number + 1]
            if not self._may_end(call, end):
                yield (
                    f"an answer was destroyed: {call.text!r} of {call.ended:.2f}, then "
                    f"{end.status} ({end.error}) at {end.at:.2f}"
                )

    def _may_end(self, call: Call, end: StepChange) -> bool:
        if end.status == "queued":
            # The worker was asked to stop, and did not get to it in time.
            stops = [f for f in self._faults if f.kind == "stop worker"]
            if (end.error or "").startswith(_LATE) and self._slept(call.arrived, end.at):
                return True
            is_put_back = not end.new_failures
            return is_put_back and any(f.touches(call.arrived - _SLACK, end.at) for f in stops)
        if end.answer is None and self._slept(call.arrived, end.at):
            return True  # of a tool's call: the model reads that no answer came in time
        return end.is_takeover or end.status == "superseded" or end.answer == call.text

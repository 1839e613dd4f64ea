"""What must be true of calls, usage and histories once all is healed."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.chaos.audit import StepChange
from tests.chaos.history import Fate
from tests.chaos.upstream import Call
from tests.faults.system import System
from tests.ledger.driver import Book, Decision, Turn
from tests.ledger.plan import PlannedCall
from tests.ledger.upstream import REFUSED, World

# Threads, and those of the agents that they called.
_SESSIONS = "SELECT id FROM session WHERE id = ANY($1) OR parent_session_id = ANY($1)"
_ACTIONS = """
SELECT id, kind, status, arguments->>'token' AS token, resolution->>'decision' AS decision
FROM action WHERE arguments ? 'token'"""
_USAGE = """
SELECT step_id, attempt, input_tokens, output_tokens, cached_tokens FROM model_usage
WHERE session_id = ANY($1)"""
# Each call of a dialogue with its last result, if it has one.
_RESULTS = """
SELECT u.block->'input'->>'token' AS token, r.block->>'status' AS status,
  r.block->>'payload' AS payload
FROM message m CROSS JOIN LATERAL jsonb_array_elements(m.content) AS u(block)
LEFT JOIN LATERAL (
  SELECT b.block FROM message n CROSS JOIN LATERAL jsonb_array_elements(n.content) AS b(block)
  WHERE n.session_id = m.session_id AND b.block->>'content_type' = 'tool_result'
    AND b.block->>'tool_use_id' = u.block->>'tool_use_id'
  ORDER BY n.idx DESC LIMIT 1) r ON true
WHERE m.session_id = ANY($1) AND u.block->>'content_type' = 'tool_use'"""
# Who waits for nobody: its thread would wait for ever.
_WAITS_FOR_NOBODY = """
SELECT s.id, s.state FROM session s
WHERE s.id = ANY($1) AND s.state IN ('action_turn', 'client_tool_turn')
  AND NOT EXISTS (SELECT FROM action a WHERE a.session_id = s.id AND a.status = 'open')"""


@dataclass(frozen=True)
class Kept:
    """What the service keeps of calls and requests: rows, as they are."""

    actions: list[Any]
    usage: list[Any]
    results: list[Any]
    stranded: list[Any]

    @classmethod
    async def read(cls, system: System, book: Book) -> "Kept":
        """What there is of the run's threads."""
        threads = list({turn.thread_id for turn in book.turns if turn.thread_id})
        ids = [row["id"] for row in await system.query(_SESSIONS, threads)]
        return cls(
            await system.query(_ACTIONS),
            await system.query(_USAGE, ids),
            await system.query(_RESULTS, ids),
            await system.query(_WAITS_FOR_NOBODY, ids),
        )


def check_ledger(
    book: Book, world: World, kept: Kept, steps: Sequence[StepChange]
) -> Iterator[str]:
    """What is wrong, in words."""
    yield from world.upstream.orphans
    for turn in book.turns:
        if not turn.is_over:
            yield f"stuck: turn {turn.plan.token} of {turn.thread_id} did not end"
    for row in kept.stranded:
        yield f"stuck: {row['id']} is in {row['state']} and waits for nobody"
    yield from _wrong_calls(book, world, kept)
    yield from _wrong_usage(world, kept, steps)


def _wrong_calls(book: Book, world: World, kept: Kept) -> Iterator[str]:
    made: dict[str, list[Call]] = defaultdict(list)
    for call in world.tool_calls:
        made[call.said[0]].append(call)
    decisions: dict[str, list[Decision]] = defaultdict(list)
    for decision in book.decisions:
        decisions[decision.token].append(decision)
    actions: dict[str, list[Any]] = defaultdict(list)
    for row in kept.actions:
        actions[row["token"]].append(row)
    results = {row["token"]: row for row in kept.results}
    for turn in book.turns:
        for planned in turn.plan.calls:
            one = _CallOfRun(
                turn,
                planned,
                made.pop(planned.token, []),
                decisions[planned.token],
                actions[planned.token],
                results.get(planned.token),
            )
            for fault in one.faults():
                yield f"{planned.tool} {planned.token} of {turn.thread_id}: {fault}"
    for token in made:
        yield f"a call that nobody planned: {token}"


class _CallOfRun:
    """A planned call, and what every side has of it."""

    def __init__(  # noqa: PLR0917 - one for each side
        self,
        turn: Turn,
        planned: PlannedCall,
        made: Sequence[Call],
        decisions: Sequence[Decision],
        actions: Sequence[Any],
        result: Any,
    ) -> None:
        self._turn = turn
        self._kind = planned.kind
        self._token = planned.token
        self._made = [call for call in made if call.outcome not in REFUSED]
        self._decisions = decisions
        self._actions = actions
        self._result = result

    def faults(self) -> Iterator[str]:
        """What is wrong with it, in words."""
        unknown = [row for row in self._actions if row["kind"] == "unknown_outcome"]
        again = sum(row["decision"] == "approve" for row in unknown)
        times, keys = len(self._made), len({call.key for call in self._made})
        if self._kind.is_sent_once and times > 1 + again:
            yield f"made {times} times, and people had it made again {again} times"
        if keys > 1 + again:
            yield f"{keys} idempotency keys, and people had it made again {again} times"
        if self._kind.is_approved:
            yield from self._wrong_approval(times, is_known=not unknown)
        yield from self._wrong_result(times, bool(unknown))
        yield from self._wrong_decisions()

    def _wrong_approval(self, times: int, *, is_known: bool) -> Iterator[str]:
        approved = [row for row in self._actions if row["kind"] == "approval"]
        if times and not any(row["status"] == "approved" for row in approved):
            yield f"made {times} times, and nobody approved it: {[dict(row) for row in approved]}"
        acked = any(
            one.kind == "approval" and one.decision == "approve" and one.fate is Fate.ACKED
            for one in self._decisions
        )
        is_whole = self._turn.is_over and not (self._turn.is_cut or self._turn.has_failed)
        # Of a call whose outcome nobody knew, a person may have said that it was made.
        if acked and is_whole and is_known and not times and not self._is_refused:
            yield f"approved, and never made: {dict(self._result) if self._result else None}"

    def _wrong_result(self, times: int, is_unknown: bool) -> Iterator[str]:
        if self._result is None or self._kind.where == "client":
            return
        succeeded, is_of_agent = self._result["status"] == "success", self._kind.where == "agent"
        if succeeded and is_of_agent and self._token not in self._result["payload"]:
            yield f"another agent's result: {self._result['payload']!r}"
        if succeeded and not (times or is_unknown or is_of_agent):
            yield f"never made, and its result is {self._result['payload']!r}"
        if self._turn.is_over and self._result["status"] is None and not self._turn.is_cut:
            yield "it has no result"

    def _wrong_decisions(self) -> Iterator[str]:
        """What a person was told is decided is what is kept; of the others at the most one."""
        kept = {row["id"]: row["decision"] for row in self._actions}
        for one in self._decisions:
            if one.fate is Fate.ACKED and kept.get(one.action_id) != one.decision:
                yield f"{one.decision} was acknowledged, kept is {kept.get(one.action_id)!r}"
            if one.fate is Fate.REFUSED and kept.get(one.action_id) == one.decision:
                yield f"{one.decision} was refused, and is kept"

    @property
    def _is_refused(self) -> bool:
        """Whether the other side refused it, as often as it was asked."""
        return self._result is not None and self._result["status"] == "error"


def _wrong_usage(world: World, kept: Kept, steps: Sequence[StepChange]) -> Iterator[str]:
    """Each row is what the server counted for one of its answers; each answer is counted once."""
    counted = {call.usage: call for call in world.model_calls}
    rows = Counter(_usage_of(row) for row in kept.usage)
    for row in kept.usage:
        call = counted.get(_usage_of(row))
        if call is None or call.key != row["step_id"]:
            yield f"usage that the server did not count: {dict(row)}"
    yield from (f"usage counted {times} times: {one}" for one, times in rows.items() if times > 1)
    missing = Counter(
        call.key for call in world.model_calls if call.is_answered and call.usage not in rows
    )
    lost = _losses(steps)
    for key, times in missing.items():
        if times > lost[key]:
            yield f"{times} answers of {key} are not counted, and it was lost {lost[key]} times"
    done = {change.step_id for change in steps if change.status == "done"}
    done &= {call.key for call in world.model_calls}
    for key in done - {row["step_id"] for row in kept.usage}:
        yield f"step {key} has an answer and no usage"


def _losses(steps: Sequence[StepChange]) -> Counter[str]:
    """How often each step was lost to its worker, which could not write what it had by then.

    So it is where an answer that came was not read in time.
    """
    return Counter(
        change.step_id
        for change in steps
        if change.is_takeover
        or change.status == "superseded"
        or (change.new_failures and (change.error or "").startswith("No answer within"))
    )


def _usage_of(row: Any) -> tuple[int, int, int]:
    return row["input_tokens"], row["output_tokens"], row["cached_tokens"]

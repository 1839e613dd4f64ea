"""Threads of the ledger run: a client says what the plan says, decides, and answers."""

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.chaos.client import ChaosClient
from tests.chaos.history import Fate, Sent
from tests.chaos.load import THREADS
from tests.faults.load import message
from tests.ledger.plan import PlannedCall, PlannedTurn, plan_turn
from tests.ledger.upstream import CLERK, CLIENT_TOOL, MCP_NAME, PROFILE
from tests.support.threads import Reader, text_of, transcript

_ACTIONS = "/v1/ai/actions"
_PAUSE = 0.3
_RESTS = frozenset({"user_turn", "goals_failed"})


@dataclass(slots=True)
class Decision:
    """What a person decided about an action; `token` is that of the call."""

    action_id: str
    token: str
    kind: str
    decision: str
    fate: Fate = Fate.UNKNOWN


@dataclass(slots=True)
class Turn:
    """A turn that was begun, and what became of it.

    Attributes:
        is_over: the thread came to rest after it.
        has_failed: its last message says so; a retry may have mended it.
        is_cut: the user cancelled it, or talked over it.
    """

    plan: PlannedTurn
    thread_id: str = ""
    is_over: bool = False
    has_failed: bool = False
    is_cut: bool = False

    @property
    def is_talked_over(self) -> bool:
        """Whether the user goes on while it waits; where others' sessions run, nobody can."""
        return self.plan.is_talked_over and not self.plan.calls_agents


@dataclass(slots=True)
class Book:
    """What all clients did: turns by whom they were planned, and decisions."""

    plans: Iterator[PlannedTurn]
    turns: list[Turn] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    is_planned: bool = False  # whether all turns have begun

    @classmethod
    def of(cls, seed: int, turns: int) -> "Book":
        """So many turns, none begun."""
        rng = random.Random(f"turns {seed}")
        return cls(plan_turn(rng) for _ in range(turns))

    @property
    def over(self) -> int:
        """How many turns have ended."""
        return sum(turn.is_over for turn in self.turns)

    def begin(self) -> Turn | None:
        """The next turn; None where there is none."""
        plan = next(self.plans, None)
        if plan is None:
            self.is_planned = True
            return None
        self.turns.append(Turn(plan))
        return self.turns[-1]


class Driver:
    """One client: it opens threads, has some turns in each, and leaves them.

    Args:
        client: sends its requests.
        seed: decides how long a thread is, and what the client does where the plan leaves it open.
        book: has the turns.
    """

    def __init__(self, client: ChaosClient, seed: str, book: Book) -> None:
        self._client = client
        self._random = random.Random(seed)
        self._book = book

    async def drive(self) -> None:
        """Go on until there are no more turns."""
        while not self._book.is_planned:
            thread = _Thread(self._client, self._random, self._book)
            for _ in range(self._random.randrange(1, 5)):
                turn = self._book.begin()
                if turn is None or not await thread.have(turn):
                    break
            if thread.id:
                await thread.compare()


class _Thread:
    """A thread as a client holds it."""

    def __init__(self, client: ChaosClient, rng: random.Random, book: Book) -> None:
        self._client = client
        self._history = client.history
        self._random = rng
        self._book = book
        self._reader: Reader | None = None
        self._decided: set[str] = set()
        self.id = ""

    async def have(self, turn: Turn) -> bool:
        """Have a turn from what the user says to its end; False if it could not be had."""
        if not await self._say(turn):
            return False
        if not await self._is_over(turn):
            return False
        if self._has_failed and self._random.random() < 0.5:
            self._history.resumed += 1
            path = f"{THREADS}/{self.id}/retry"
            await self._client.ask("POST", path, key=self._client.new_key())
            if not await self._is_over(turn):
                return False
        turn.has_failed, turn.is_over = self._has_failed, True
        if not (turn.has_failed or turn.is_cut) and turn.plan.token not in self._last_text:
            self._complain(f"a wrong answer to {turn.plan.token}: {self._last_text!r}")
        return True

    async def compare(self) -> None:
        """What was put together from deltas must be what the thread holds."""
        assert self._reader is not None
        answer = await self._client.ask("GET", f"{THREADS}/{self.id}")
        if answer is None or self._reader.status not in _RESTS:
            return
        held, there = self._reader.transcript, transcript(answer.json()["data"]["messages"])
        if held != there:
            self._complain(f"deltas gave {held}, the thread holds {there}")

    @property
    def _talks_over(self) -> bool:
        return self._reader is not None and self._reader.status not in _RESTS

    @property
    def _has_failed(self) -> bool:
        assert self._reader is not None
        return bool(self._reader.messages[-1]["status"] == "failed")

    @property
    def _last_text(self) -> str:
        assert self._reader is not None
        return text_of(self._reader.messages[-1])

    async def _say(self, turn: Turn) -> bool:
        token = turn.plan.token
        sent = Sent(self.id, "chat", token, self._client.new_key(), is_ephemeral=False)
        self._history.sent.append(sent)
        path, body = f"{THREADS}/{self.id}/messages", {"message": message(turn.plan.text)}
        if not self.id:
            path, body = THREADS, _start(turn.plan)
        answer = await self._client.ask("POST", path, key=sent.key, json=body)
        while answer is not None and _runs(answer) and self._talks_over:
            await asyncio.sleep(_PAUSE)  # beside the approval, other calls of the answer run
            answer = await self._client.ask("POST", path, key=sent.key, json=body)
        sent.ended = time.time()
        if answer is None:
            return False
        sent.answer = answer.text
        sent.fate = Fate.ACKED if answer.is_success else Fate.REFUSED
        if not answer.is_success:
            self._complain(f"a message was refused: {answer.text}")
            return False
        if not self.id:
            self.id = sent.session_id = answer.json()["data"]["thread_id"]
            self._history.sessions[self.id] = "chat"
            self._reader = Reader(self._client.http, self.id)
        turn.thread_id = self.id
        return True

    async def _is_over(self, turn: Turn) -> bool:
        """Follow the turn, and do what it waits for; False if the run ended before it did."""
        if turn.plan.is_cancelled and not turn.is_cut and self._random.random() < 0.5:
            await self._cancel(turn)
        while True:
            delta = await self._delta()
            if delta is None:
                return False
            assert self._reader is not None
            if self._reader.status in _RESTS:
                return True
            actions = delta["required_actions"] or []
            if actions and turn.is_talked_over and _is_approval(actions):
                turn.is_cut = True
                return True
            if actions and not await self._act(turn, actions):
                return False

    async def _delta(self) -> dict[str, Any] | None:
        assert self._reader is not None
        wait = self._random.choice([0.5, 2.0, 5.0])
        path, params = f"{THREADS}/{self.id}/delta", {"next_token": self._reader.token}
        answer = await self._client.ask("GET", path, wait=wait, params=params)
        if answer is None:
            return None
        if not answer.is_success:
            self._complain(f"a delta was refused: {answer.text}")
            return None
        delta: dict[str, Any] = answer.json()["data"]
        try:
            self._reader.apply(delta)
        except AssertionError as error:
            self._complain(f"{error}: {delta}")
            return None
        return delta

    async def _act(self, turn: Turn, actions: list[dict[str, Any]]) -> bool:
        """Do what the turn waits for; False if the run ended before that."""
        if turn.plan.is_cancelled and not turn.is_cut:
            return await self._cancel(turn)
        assert self._reader is not None
        asked = [action for action in actions if action["kind"] == "client_tool"]
        if asked and self._reader.status == "client_tool_turn" and not await self._submit(asked):
            return False
        for action in actions:
            if action["kind"] != "client_tool" and action["action_id"] not in self._decided:
                await self._decide(turn, action)
        return not self._client.is_closing.is_set()

    async def _cancel(self, turn: Turn) -> bool:
        turn.is_cut = True
        answer = await self._client.ask("POST", f"{THREADS}/{self.id}/cancel")
        self._history.cancelled += answer is not None and answer.is_success
        return answer is not None

    async def _decide(self, turn: Turn, action: dict[str, Any]) -> None:
        token = action["arguments"]["token"]
        body = self._word(turn, token, action["kind"])
        decision = Decision(action["action_id"], token, action["kind"], body["decision"])
        self._book.decisions.append(decision)
        self._decided.add(decision.action_id)
        path = f"{_ACTIONS}/{decision.action_id}/resolve"
        answer = await self._client.ask("POST", path, json=body)
        if answer is None:
            return
        decision.fate = Fate.ACKED if answer.is_success else Fate.REFUSED
        if answer.is_success:
            await self._decide_again(path, body, answer)
        elif not self._is_closed(answer):
            self._complain(f"a decision was refused: {answer.text}")

    async def _decide_again(self, path: str, body: dict[str, Any], first: httpx.Response) -> None:
        """The same decision changes nothing, another one is refused with the first."""
        if self._random.random() < 0.1:
            again = await self._client.ask("POST", path, json=body)
            if again is not None and again.text != first.text:
                self._complain(f"one decision, two answers: {first.text} and {again.text}")
        if self._random.random() < 0.1:
            other = "deny" if body["decision"] != "deny" else "approve"
            refused = await self._client.ask("POST", path, json={"decision": other})
            if refused is not None and refused.status_code != 409:
                self._complain(f"a second decision was not refused: {refused.text}")

    def _word(self, turn: Turn, token: str, kind: str) -> dict[str, Any]:
        if kind == "approval":
            call = _call_of(turn.plan, token)
            return {"decision": "approve" if call.is_approved else "deny"}
        decision = self._random.choice(["approve", "answer", "deny"])
        result = {"result": f"somebody saw {token}"} if decision == "answer" else {}
        return {"decision": decision, **result}

    @staticmethod
    def _is_closed(answer: httpx.Response) -> bool:
        """Whether the turn ended before the decision came."""
        body = answer.json()
        return bool(body.get("action", {}).get("status") in {"cancelled", "expired"})

    async def _submit(self, asked: list[dict[str, Any]]) -> bool:
        """Give back what the client's tools did, sometimes only the first, sometimes twice."""
        if self._random.random() < 0.3:
            asked = asked[:1]
        results = [
            {
                "tool_use_id": action["tool_use_id"],
                "tool_name": action["tool_name"],
                "runtime_ms": 1,
                "status": "success",
                "output": {"said": action["arguments"]["token"]},
            }
            for action in asked
        ]
        path = f"{THREADS}/{self.id}/tool-results"
        for _ in range(2 if self._random.random() < 0.1 else 1):
            answer = await self._client.ask("POST", path, json={"tool_results": results})
            if answer is None:
                return False
            if not answer.is_success:
                self._complain(f"results were refused: {answer.text}")
        return True

    def _complain(self, text: str) -> None:
        self._history.complaints.append(f"{self.id}: {text}")


def _start(plan: PlannedTurn) -> dict[str, Any]:
    return {
        "messages": [message(plan.text)],
        "model_profile": PROFILE,
        "tools": ["look", "note", "keyed", "pay", MCP_NAME, CLERK],
        "client_tools": [CLIENT_TOOL],
    }


def _is_approval(actions: list[dict[str, Any]]) -> bool:
    return all(action["kind"] == "approval" for action in actions)


def _runs(answer: httpx.Response) -> bool:
    return answer.status_code == 409 and bool(answer.json().get("received_event"))


def _call_of(plan: PlannedTurn, token: str) -> PlannedCall:
    return next(call for call in plan.calls if call.token == token)

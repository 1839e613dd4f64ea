"""What turns of the ledger run do: by seed, as words that the user says and the model follows."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.client import new_token


@dataclass(frozen=True)
class ToolKind:
    """A tool of the run.

    Attributes:
        where: who makes its calls.
        is_write: a call has an effect.
        is_keyed: the other side knows a repeated call by its key.
        is_approved: a person decides about each call.
    """

    where: str
    is_write: bool = True
    is_keyed: bool = False
    is_approved: bool = False

    @property
    def is_sent_once(self) -> bool:
        """Whether a call whose outcome nobody knows may not be made again by itself."""
        return self.is_write and not self.is_keyed


TOOLS = {
    "look": ToolKind("http", is_write=False),
    "note": ToolKind("http"),
    "keyed": ToolKind("http", is_keyed=True),
    "pay": ToolKind("http", is_approved=True),
    "desk__peek": ToolKind("mcp", is_write=False),
    "desk__stamp": ToolKind("mcp"),
    "client_ask": ToolKind("client"),
    "clerk": ToolKind("agent"),
}
_WEIGHTS = {"look": 3, "note": 3, "keyed": 2, "pay": 5, "desk__peek": 1, "desk__stamp": 2}
_WEIGHTS |= {"client_ask": 2, "clerk": 2}
# What the agent calls that is a tool of others.
_OF_AGENT = {"look": 1, "note": 2, "keyed": 1, "pay": 3, "desk__stamp": 1}
_APPROVED = 0.65
_CANCELLED = 0.04
_TALKED_OVER = 0.04


@dataclass(frozen=True)
class PlannedCall:
    """A call that the model makes; `token` is an argument by which it is found everywhere.

    `below` are the answers with calls of the agent that is called, where one is.
    """

    tool: str
    token: str
    is_approved: bool
    below: list[list["PlannedCall"]] = field(default_factory=list)

    @property
    def kind(self) -> ToolKind:
        """What it is."""
        return TOOLS[self.tool]

    @property
    def arguments(self) -> dict[str, Any]:
        """What the model calls it with."""
        plan = {"plan": _plan_text(self.token, self.below)} if self.below else {}
        return {"token": self.token, **plan}

    @property
    def all(self) -> Iterator["PlannedCall"]:
        """It, and those below it."""
        yield self
        yield from (call for stage in self.below for call in stage)


@dataclass(frozen=True)
class PlannedTurn:
    """A turn: answers with calls, one after the other, and then one that says the turn's token.

    Attributes:
        is_cancelled: the user cancels it somewhere on the way.
        is_talked_over: the user goes on where the turn waits for somebody.
    """

    token: str
    stages: list[list[PlannedCall]]
    is_cancelled: bool
    is_talked_over: bool

    @property
    def text(self) -> str:
        """What the user says, for the model to follow."""
        return _plan_text(self.token, self.stages)

    @property
    def calls(self) -> list[PlannedCall]:
        """All calls, also those of agents that are called."""
        return [one for stage in self.stages for call in stage for one in call.all]

    @property
    def calls_agents(self) -> bool:
        """Whether sessions of other agents run below it."""
        return any(call.below for call in self.calls)


def plan_turn(rng: random.Random) -> PlannedTurn:
    """A turn of up to three answers with up to three calls each."""
    stages = [_plan_stage(rng, _WEIGHTS) for _ in range(rng.choice([1, 1, 1, 2, 2, 3]))]
    is_cancelled = rng.random() < _CANCELLED
    return PlannedTurn(new_token(), stages, is_cancelled, rng.random() < _TALKED_OVER)


def _plan_stage(rng: random.Random, weights: Mapping[str, int]) -> list[PlannedCall]:
    """One answer with calls."""
    tools = rng.choices(list(weights), list(weights.values()), k=rng.choice([1, 1, 2, 3]))
    return [
        PlannedCall(
            tool,
            new_token(),
            rng.random() < _APPROVED,
            [_plan_stage(rng, _OF_AGENT)] if TOOLS[tool].where == "agent" else [],
        )
        for tool in tools
    ]


def _plan_text(token: str, stages: Sequence[Sequence[PlannedCall]]) -> str:
    """What a model follows."""
    calls = [[[call.tool, call.arguments] for call in stage] for stage in stages]
    return json.dumps({"turn": token, "stages": calls})


def read_plan(text: object) -> dict[str, Any] | None:
    """What a user's message says to do; None of any other message.

    What was said last counts: two messages without an answer between them are one to the model.
    """
    try:
        plan = json.loads(text.split("\n\n")[-1]) if isinstance(text, str) else None
    except ValueError:
        return None
    return plan if isinstance(plan, dict) and "stages" in plan else None

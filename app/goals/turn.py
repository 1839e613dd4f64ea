"""The goals of one turn: which are open, what a call makes of them, and when they have failed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from app.goals.goal import Goal, GoalEffect
from app.goals.kinds import goal_of

# How often a model that ends its turn without a goal is asked again.
MAX_REMINDERS = 3


class GoalStatus(StrEnum):
    """How far a goal has come."""

    PENDING = "pending"
    ACHIEVED = "achieved"
    FAILED = "failed"


class TurnGoal(BaseModel):
    """A goal of the turn, as the session keeps it.

    Attributes:
        idx: among all goals of the thread, from 0.
        kind: see `app.goals.kinds`.
        data: as it was declared.
        scope: the span of time that the turn looks at.
        tool: the name of the tool that achieves it.
        status: how far it has come.
        tool_use_id: the call that achieved it, or was the last that did not.
    """

    idx: int
    kind: str
    data: dict[str, Any]
    scope: dict[str, Any] | None = None
    tool: str
    status: GoalStatus = GoalStatus.PENDING
    tool_use_id: str | None = None

    @property
    def goal(self) -> Goal:
        """What its kind says of it."""
        return goal_of(self.kind, self.data, self.scope)

    @property
    def is_open(self) -> bool:
        """Whether it is still to be achieved."""
        return self.status is GoalStatus.PENDING


@dataclass(frozen=True, slots=True)
class GoalChange:
    """What a transition does to one goal; `new` declares it, an effect achieves it."""

    goal: TurnGoal
    new: bool = False
    effect: GoalEffect | None = None


class TurnGoals(BaseModel):
    """The goals of the turn.

    Attributes:
        goals: all that the turn's message declared.
        reminders: how often the model was reminded.
        reminder: what the model's next request says of them, and that alone.
    """

    goals: list[TurnGoal] = []
    reminders: int = 0
    reminder: str | None = None

    @classmethod
    def declared(
        cls,
        goals: Sequence[tuple[str, Mapping[str, Any]]],
        first: int,
        scope: dict[str, Any] | None,
    ) -> "TurnGoals":
        """Goals of a new turn, as (kind, data).

        Args:
            goals: as they were declared.
            first: how many goals the thread had before.
            scope: the span of time that the turn looks at.
        """
        made: list[TurnGoal] = []
        for idx, (kind, data) in enumerate(goals, first):
            tool = goal_of(kind, data).tool
            twins = sum(one.kind == kind for one in made)
            name = f"{tool}_{twins + 1}" if twins else tool
            made.append(TurnGoal(idx=idx, kind=kind, data=dict(data), scope=scope, tool=name))
        return cls(goals=made)

    @property
    def open(self) -> list[TurnGoal]:
        """Those that are still to be achieved."""
        return [goal for goal in self.goals if goal.is_open]

    def of_tool(self, name: str) -> TurnGoal | None:
        """The goal that a tool achieves."""
        return next((goal for goal in self.goals if goal.tool == name), None)

    def prompt(self) -> str | None:
        """What the model reads of the turn's goals beside what the user says."""
        if not self.goals:
            return None
        parts = [
            "\n".join([f"Goal {number}, achieved by the tool {one.tool}:", *one.goal.prompt()])
            for number, one in enumerate(self.goals, 1)
        ]
        rule = "The turn is not done before each of these goals is achieved by its tool."
        # What was declared does not end the block.
        text = "\n\n".join([rule, *parts]).replace("</goals", "<\\/goals")
        return f"<goals>\n\n{text}\n\n</goals>"


@dataclass(slots=True)
class GoalProgress:
    """The goals of a turn as one transition changes them.

    Attributes:
        turn: the goals as they are then.
        results: why calls of their tools achieved nothing, by call; None where they did.
        changed: what is to be stored of each goal that changed, by `idx`.
    """

    turn: TurnGoals
    results: dict[str, str | None] = field(default_factory=dict)
    changed: dict[int, GoalChange] = field(default_factory=dict)

    @property
    def changes(self) -> list[GoalChange]:
        """What is to be stored."""
        return list(self.changed.values())

    @classmethod
    def of(cls, before: TurnGoals) -> "GoalProgress":
        """The progress of goals to which nothing has happened yet."""
        goals = [goal.model_copy() for goal in before.goals]
        return cls(TurnGoals(goals=goals, reminders=before.reminders))

    def call(self, call_id: str, tool: str, arguments: dict[str, Any] | None) -> bool:
        """Takes a call, where it is of a goal's tool; False: it is of another tool."""
        one = self.turn.of_tool(tool)
        if one is None:
            return False
        if not one.is_open:
            self.results[call_id] = "The goal is achieved already."
            return True
        one.tool_use_id = call_id
        if arguments is None:
            faults = ["the arguments are no JSON object, or too large"]
        else:
            faults = one.goal.faults(arguments)
        if arguments is None or faults:
            self.results[call_id] = f"The goal is not achieved: {'; '.join(faults)}"
            self.changed[one.idx] = GoalChange(one)
            return True
        one.status = GoalStatus.ACHIEVED
        self.results[call_id] = None
        self.changed[one.idx] = GoalChange(one, effect=one.goal.effect(arguments))
        return True

    def remind(self) -> bool:
        """Has the model be asked again for the goals that are open; False: it was, often enough."""
        if self.turn.reminders >= MAX_REMINDERS:
            return False
        self.turn.reminders += 1
        tools = ", ".join(goal.tool for goal in self.turn.open)
        self.turn.reminder = f"The turn is not done: goals are open. Call {tools} now."
        return True

    def fail(self) -> bool:
        """Gives up the goals that are open; False: there are none."""
        given_up = self.turn.open
        for goal in given_up:
            goal.status = GoalStatus.FAILED
            self.changed[goal.idx] = GoalChange(goal)
        return bool(given_up)

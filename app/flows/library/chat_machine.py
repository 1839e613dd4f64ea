"""The statechart of `chat`, and what each of its events comes to."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import TypeAdapter
from statemachine import State
from typing_extensions import override

from app.errors import BadRequestError
from app.flows.library.actions import Resolution, after_resolution, after_server_calls
from app.flows.library.budget_action import (
    after_budget_resolution,
    ask_for_budget,
    read_unasked,
    without_budget,
)
from app.flows.library.goal_outcome import goal_results, with_goals
from app.flows.library.skills import invocations
from app.flows.library.tool_use import (
    MAX_CALLS,
    Next,
    Runs,
    ToolUse,
    TurnOutcome,
    after_answer,
    after_interruption,
    after_results,
)
from app.flows.machine import RESOLVE_EVENT, SessionMachine
from app.flows.move import Move, Recording
from app.flows.template import Converse, Map, Render, RunTool
from app.goals.turn import GoalProgress
from app.invokers.chat import read_answer
from app.invokers.tool import ToolResult, ToolStatus
from app.kit.storable import load_json

if TYPE_CHECKING:
    from app.flows.library.chat import Chat

# States for which the published client, which knows five words, is shown another.
ON_THE_WIRE = {"tool_turn": "roboto_turn", "action_turn": "roboto_turn"}

# The states in which a turn waits for somebody: for results of a client, or for a decision.
WAITING_FOR_RESULTS = frozenset({"client_tool_turn", "action_turn"})

_RESULTS = TypeAdapter(list[ToolResult])


class ChatMachine(SessionMachine):
    """One request to the model is one step, one call of a tool is one step.

    What follows an answer or a result is decided by `TurnOutcome`; the chart says where that leads.
    """

    user_turn = State(initial=True)
    roboto_turn = State()
    tool_turn = State()
    client_tool_turn = State()
    action_turn = State()
    goals_failed = State()

    user_message = (
        user_turn.to(roboto_turn)
        | goals_failed.to(roboto_turn)
        | client_tool_turn.to(roboto_turn)
        | action_turn.to(roboto_turn)
    )
    reply = (
        roboto_turn.to(tool_turn, cond="tools_are_next")
        | roboto_turn.to(client_tool_turn, cond="client_is_next")
        | roboto_turn.to(action_turn, cond="people_are_next")
        | roboto_turn.to(action_turn, cond="budget_is_used_up")
        | roboto_turn.to(roboto_turn, cond="model_is_next")
        | roboto_turn.to(goals_failed, cond="goals_have_failed")
        | roboto_turn.to(user_turn)
    )
    tools_done = (
        tool_turn.to(client_tool_turn, cond="client_is_next")
        | tool_turn.to(action_turn, cond="people_are_next")
        | tool_turn.to(roboto_turn, cond="model_is_next")
        | tool_turn.to(goals_failed, cond="goals_have_failed")
        | tool_turn.to(user_turn)
    )
    submit_results = (
        client_tool_turn.to(client_tool_turn, cond="client_is_next")
        | client_tool_turn.to(tool_turn, cond="tools_are_next")
        | client_tool_turn.to(action_turn, cond="people_are_next")
        | client_tool_turn.to(roboto_turn)
    )
    resolve_action = (
        action_turn.to(tool_turn, cond="tools_are_next")
        | action_turn.to(action_turn, cond="people_are_next")
        | action_turn.to(roboto_turn, cond="model_is_next")
        | action_turn.to(goals_failed, cond="goals_have_failed")
        | action_turn.to(user_turn)
        | client_tool_turn.to(client_tool_turn, cond="client_is_next")
        | client_tool_turn.to(tool_turn, cond="tools_are_next")
        | client_tool_turn.to(action_turn, cond="people_are_next")
        | client_tool_turn.to(roboto_turn, cond="model_is_next")
        | client_tool_turn.to(goals_failed, cond="goals_have_failed")
        | client_tool_turn.to(user_turn)
    )
    cancel = (
        client_tool_turn.to(goals_failed, cond="goals_have_failed")
        | client_tool_turn.to(user_turn)
        | action_turn.to(goals_failed, cond="goals_have_failed")
        | action_turn.to(user_turn)
    )

    service_events: ClassVar[frozenset[str]] = frozenset({RESOLVE_EVENT})

    templates: ClassVar[dict[str, Any]] = {
        "user_turn": Render(""),
        "roboto_turn": Converse(
            lambda model, dialogue: model.request(dialogue), lambda model: model.profile
        ),
        "tool_turn": Map("server_calls", RunTool(lambda model, item: model.server_call(item))),
        "client_tool_turn": Render(""),
        "action_turn": Render(""),
        "goals_failed": Render(""),
    }

    def tools_are_next(self) -> bool:
        return self._next is Next.TOOLS

    def client_is_next(self) -> bool:
        return self._next is Next.CLIENT

    def people_are_next(self) -> bool:
        return self._next is Next.PEOPLE

    def budget_is_used_up(self) -> bool:
        return self._next is Next.BUDGET

    def model_is_next(self) -> bool:
        return self._next is Next.MODEL

    def goals_have_failed(self) -> bool:
        return self._next is Next.NOBODY

    @property
    def _next(self) -> str | None:
        return None if self.move is None else self.move.key

    @classmethod
    @override
    def decide(cls, model: Any, event: str, actor_input: str) -> Move:
        chat: Chat = model
        progress = GoalProgress.of(chat.goals)
        outcome = _outcome(chat, progress, event, actor_input)
        chat.steps -= outcome.next is Next.BUDGET  # it was not made
        chat.tool_use = outcome.tool_use
        chat.goals = progress.turn
        if event != "user_message":
            chat.steps += outcome.next is Next.MODEL
            return Move(
                outcome.next,
                messages=outcome.messages,
                goal_changes=progress.changes,
                actions=outcome.actions,
            )
        chat.steps = 1
        # Skills alone begin a turn too; then there is nothing that the user said.
        alone = chat.invoked_skills and not actor_input
        move = Move(
            outcome.next,
            Recording.NONE if alone else Recording.RAW,
            [*outcome.messages, *invocations(chat.invoked_skills)],
            [*progress.changes, *chat.begin_goals()],
            outcome.actions,
        )
        chat.invoked_skills = []
        return move


def _outcome(chat: "Chat", progress: GoalProgress, event: str, actor_input: str) -> TurnOutcome:
    """What an event leads to; `progress` takes what becomes of the turn's goals."""
    if event == "reply" and actor_input:
        return _outcome_of_reply(chat, progress, actor_input)
    if chat.budget_action is not None:
        outcome = _outcome_of_budget(chat, event, actor_input)
    else:
        outcome = _outcome_of_calls(chat, event, actor_input)
    return with_goals(outcome, progress, may_remind=False)


def _outcome_of_reply(chat: "Chat", progress: GoalProgress, result: str) -> TurnOutcome:
    if (used_up := read_unasked(result)) is not None:
        outcome, chat.budget_action = ask_for_budget(used_up, chat.asking)
        return outcome
    answer = read_answer(result)
    last = chat.max_steps is not None and chat.steps >= chat.max_steps
    here = goal_results(progress, answer.calls[:MAX_CALLS])
    outcome = after_answer(answer, chat.offered(), last=last, in_place=here)
    return with_goals(outcome, progress, may_remind=not last)


def _outcome_of_budget(chat: "Chat", event: str, actor_input: str) -> TurnOutcome:
    pending, chat.budget_action = chat.budget_action, None
    assert pending is not None  # noqa: S101 - asked by who calls this
    if event != "resolve_action":
        return without_budget(pending)
    return after_budget_resolution(pending, Resolution.model_validate_json(actor_input))


def _outcome_of_calls(chat: "Chat", event: str, actor_input: str) -> TurnOutcome:
    match event:
        case "tools_done":
            done = _RESULTS.validate_json(actor_input) if actor_input else []
            return after_server_calls(chat.tool_use, done, chat.offered())
        case "resolve_action":
            return after_resolution(chat.tool_use, Resolution.model_validate_json(actor_input))
        case "submit_results":
            return after_results(chat.tool_use, _client_results(actor_input, chat.tool_use))
        case "user_message":
            # A copy of a thread may be made where calls are open: it waits for no results.
            waiting = chat.tool_use if chat.state in WAITING_FOR_RESULTS else ToolUse()
            return after_interruption(waiting, "The user went on without the result.")
        case _:
            return after_interruption(chat.tool_use, "The turn ended without the result.")


def _client_results(actor_input: str, tool_use: ToolUse) -> list[ToolResult]:
    """The results that a client sent, each of another open call of its own.

    Raises:
        BadRequestError: they are not that.
    """
    try:
        results = _RESULTS.validate_python(load_json(actor_input))
    except ValueError:
        raise _refusal("they are no list of results") from None
    open_ids = {call.id for call in tool_use.open if call.runs is Runs.CLIENT}
    for result in results:
        if result.tool_use_id not in open_ids:
            raise _refusal(f"no open call has the id {result.tool_use_id[:100]!r}")
        if result.status is ToolStatus.UNKNOWN:
            raise _refusal("a result is a success, an error or declined")
        open_ids.remove(result.tool_use_id)
    return results


def _refusal(reason: str) -> BadRequestError:
    detail = f"The tool results were not taken: {reason}."
    return BadRequestError(detail, errors=[{"loc": ["body", "tool_results"], "msg": detail}])

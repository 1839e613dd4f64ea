"""What follows an answer that calls tools, and the results of its calls: pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from app.enums import ActionKind, ActionStatus, MessageRole
from app.flows.library.approval import Approval, needs_approval
from app.flows.library.asking import Asking, PendingAction
from app.flows.library.call_blocks import result_block, use_block
from app.flows.move import ClosedAction, OpenedAction, TurnMessage
from app.invokers.invoker import Answer, ToolCall
from app.invokers.tool import ToolResult
from app.kit.schemas.json_schema import schema_faults
from app.wire.messages import ErrorCode, error_block

# More of one answer are refused.
MAX_CALLS = 128

_ENDED = "The turn ended before the call was made."
_LOST = "The turn ended before the call did: whether it was done is not known."


class Runs(StrEnum):
    """Who runs a tool."""

    CLIENT = "client"
    SERVER = "server"
    SESSION = "session"  # one of its own, which may wait for people
    NOTHING = "nothing"  # the chart answers its calls itself


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """A tool that the model was offered; `asking` is how a person is asked about its calls."""

    name: str
    input_schema: dict[str, Any]
    runs: Runs
    asking: Asking
    approval: Approval = "never"


class OpenCall(BaseModel):
    """A call that has no result yet.

    Attributes:
        arguments: those with which it is made.
        is_changed: whether they are a person's, and not the model's.
        action: what it waits for, where that is asked for.
    """

    id: str
    name: str
    arguments: dict[str, Any]
    runs: Runs
    is_changed: bool = False
    action: PendingAction | None = None

    @property
    def can_run(self) -> bool:
        """Whether it is the service's to make, and waits for no decision."""
        return self.runs in {Runs.SERVER, Runs.SESSION} and self.action is None

    def result_block(self, result: ToolResult, calls: int) -> dict[str, Any]:
        """Its result as it stands behind an answer with so many calls."""
        return result_block(self.name, result, calls, self.arguments if self.is_changed else None)

    def ended(self, reason: str) -> ToolResult:
        """The result of a call whose turn ends; one that may have been made says so."""
        unknown = self.action is not None and self.action.kind is ActionKind.UNKNOWN_OUTCOME
        return ToolResult.failed(self.id, _LOST if unknown else reason)

    def asks(self, kind: ActionKind, tool: OfferedTool) -> tuple["OpenCall", OpenedAction]:
        """The call as it waits for an action, and that action."""
        opened = tool.asking.opened(kind, self.id, self.name, self.arguments, tool.input_schema)
        action = PendingAction(id=opened.id, kind=kind, on_expiry=opened.on_expiry)
        return self.model_copy(update={"action": action}), opened

    def closes(
        self, status: ActionStatus, resolution: dict[str, Any] | None = None
    ) -> list[ClosedAction]:
        """How what it waits for ends."""
        return [ClosedAction(self.action.id, status, resolution)] if self.action else []


class ToolUse(BaseModel):
    """The calls of the last answer, as far as the turn has come.

    Attributes:
        open: those without a result, in the order of the answer.
        answered: whether a message with results of others stands behind the answer already.
        calls: how many the answer has.
    """

    open: list[OpenCall] = []
    answered: bool = False
    calls: int = 1

    def resumed(self) -> "ToolUse":
        """What is left to be done by a retry, whose results stand behind those of the failure."""
        open_ = [call for call in self.open if call.can_run]
        return self.model_copy(update={"open": open_, "answered": False})


class Next(StrEnum):
    """The side whose turn it is."""

    USER = "user"
    MODEL = "model"
    TOOLS = "tools"
    CLIENT = "client"
    NOBODY = "nobody"  # until somebody looks at the goals that the turn did not achieve
    PEOPLE = "people"
    BUDGET = "budget"  # people's, who may raise it


@dataclass(frozen=True, slots=True)
class TurnOutcome:
    """What an event of a turn leads to: what is said, and who is next."""

    next: Next
    tool_use: ToolUse
    messages: list[TurnMessage] = field(default_factory=list)
    actions: list[OpenedAction | ClosedAction] = field(default_factory=list)


def after_answer(
    answer: Answer,
    tools: Mapping[str, OfferedTool],
    *,
    last: bool,
    in_place: Mapping[str, ToolResult] | None = None,
) -> TurnOutcome:
    """What a model's answer leads to.

    A call that cannot be made is answered here, so that the model learns what is wrong with it.

    Args:
        answer: the model's.
        tools: those that it was offered, by name.
        last: whether the turn may make no further request to the model.
        in_place: results of calls that nothing has to run for, by call.
    """
    results_here = dict(in_place or {})
    refused = {
        call.id: fault
        for number, call in enumerate(answer.calls)
        if call.id not in results_here
        and (fault := _ENDED if last else _fault(call, tools, number)) is not None
    }
    results_here |= {id_: ToolResult.failed(id_, fault) for id_, fault in refused.items()}
    blocks: list[dict[str, Any]] = []
    if answer.text:
        blocks.append({"content_type": "text", "text": answer.text})
    blocks += [use_block(call, refused=call.id in refused) for call in answer.calls]
    if last and answer.calls:
        blocks.append(error_block("The turn reached its limit of requests.", ErrorCode.MAX_STEPS))
    messages = (
        [TurnMessage(MessageRole.ASSISTANT, blocks, reasoning=answer.reasoning)] if blocks else []
    )
    if not answer.calls:
        return TurnOutcome(Next.USER, ToolUse(), messages)
    asked = [
        _open_call(call, tools[call.name]) for call in answer.calls if call.id not in results_here
    ]
    opened = [call for call, _ in asked]
    results = [
        result_block(call.name, results_here[call.id], len(answer.calls))
        for call in answer.calls
        if call.id in results_here
    ]
    next_ = Next.USER if last else _next_after_answer(opened)
    actions = [action for _, action in asked if action is not None]
    tool_use = ToolUse(open=opened, calls=len(answer.calls))
    return _with_results(next_, tool_use, results, messages, actions)


def after_results(
    tool_use: ToolUse,
    results: Sequence[ToolResult],
    closed_as: ActionStatus = ActionStatus.ANSWERED,
    resolution: dict[str, Any] | None = None,
) -> TurnOutcome:
    """What results of open calls lead to.

    Args:
        tool_use: with the calls.
        results: each is of another open call.
        closed_as: what becomes of the actions that these calls waited for.
        resolution: what was decided about them.
    """
    given = {result.tool_use_id: result for result in results}
    done = [call for call in tool_use.open if call.id in given]
    left = [call for call in tool_use.open if call.id not in given]
    calls = {call.id: call for call in done}
    blocks = [calls[one.tool_use_id].result_block(one, tool_use.calls) for one in results]
    closed = [end for call in done for end in call.closes(closed_as, resolution)]
    waiting = tool_use.model_copy(update={"open": left})
    return _with_results(next_of(left), waiting, blocks, [], closed)


def after_calls(tool_use: ToolUse, results: Sequence[ToolResult]) -> TurnOutcome:
    """What the results of the service's calls lead to; the turn ends where one has none."""
    done = {result.tool_use_id for result in results}
    lost = {call.id for call in runnable(tool_use.open)} - done
    if not lost:
        return after_results(tool_use, results)
    without = [
        call.ended(_LOST if call.id in lost else _ENDED)
        for call in tool_use.open
        if call.id not in done
    ]
    outcome = after_results(tool_use, [*results, *without], ActionStatus.CANCELLED)
    return replace(outcome, next=Next.USER)


def after_interruption(tool_use: ToolUse, reason: str) -> TurnOutcome:
    """What ends a turn in which calls are open: each gets a result that says why it has none."""
    results = [call.ended(reason) for call in tool_use.open]
    return replace(after_results(tool_use, results, ActionStatus.CANCELLED), next=Next.USER)


def _open_call(call: ToolCall, tool: OfferedTool) -> tuple[OpenCall, OpenedAction | None]:
    """A call that is to be made, and the action that it waits for, if it does."""
    arguments = call.arguments or {}
    opened = OpenCall(id=call.id, name=call.name, arguments=arguments, runs=tool.runs)
    if tool.runs is Runs.CLIENT:
        return opened.asks(ActionKind.CLIENT_TOOL, tool)
    if needs_approval(tool.approval, tool.input_schema, arguments):
        return opened.asks(ActionKind.APPROVAL, tool)
    return opened, None


def _with_results(
    next_: Next,
    tool_use: ToolUse,
    blocks: list[dict[str, Any]],
    messages: list[TurnMessage],
    actions: Sequence[OpenedAction | ClosedAction],
) -> TurnOutcome:
    """Puts results behind the answer: all of one answer stand in one message."""
    complete = not tool_use.open
    if blocks:
        messages = [
            *messages,
            TurnMessage(MessageRole.ROBOTO, blocks, complete, grows=tool_use.answered),
        ]
        tool_use = tool_use.model_copy(update={"answered": True})
    return TurnOutcome(next_, ToolUse() if complete else tool_use, messages, list(actions))


def _next_after_answer(open_: Sequence[OpenCall]) -> Next:
    """What needs nobody goes first: no client was asked for its part yet."""
    return Next.TOOLS if runnable(open_) else next_of(open_)


def runnable(open_: Sequence[OpenCall]) -> list[OpenCall]:
    """The calls that the service makes now.

    Nobody can decide or answer anything while they are made. So those that may take days, as what
    they call asks people, come when nothing else is open.
    """
    calls = [call for call in open_ if call.can_run]
    if len(calls) == len(open_):
        return calls
    return [call for call in calls if call.runs is not Runs.SESSION]


def next_of(open_: Sequence[OpenCall]) -> Next:
    """A client that was asked must be able to answer, so nothing runs before it has."""
    if any(call.runs is Runs.CLIENT for call in open_):
        return Next.CLIENT
    if runnable(open_):
        return Next.TOOLS
    return Next.PEOPLE if open_ else Next.MODEL


def _fault(call: ToolCall, tools: Mapping[str, OfferedTool], number: int) -> str | None:
    """Why a call is not made; None where it is."""
    if number >= MAX_CALLS:
        return f"One answer may call {MAX_CALLS} tools at the most."
    tool = tools.get(call.name)
    if tool is None:
        return f"There is no tool {call.name!r}. There are: {', '.join(tools) or 'none'}."
    if call.arguments is None:
        return "The arguments are no JSON object, or too large."
    if faults := schema_faults(tool.input_schema, call.arguments):
        return f"The arguments do not fit the tool's schema: {'; '.join(faults)}"
    return None

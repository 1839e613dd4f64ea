"""Steps that start a session and wait for it: calls of agents and flows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from app.errors import PublicError, public_text
from app.invokers.invoker import InvokerError, MarkedText
from app.invokers.tool import ServerCall, ToolResult, ToolStatus, tool_payload
from app.kit.ids import derived_id
from app.sessions.runtime import Runtime
from app.sessions.store.claim import Claim
from app.sessions.store.snapshot import ChildSession
from app.sessions.turn.ending import cancel_child, is_infrastructure
from app.wire.messages import plain_text

# How many sessions may stand above one another: an agent may call itself.
MAX_DEPTH = 4
# A child is looked at again after so long, whatever woke nobody.
_LOOK_SECONDS = 30 * 24 * 3600.0

_UNACHIEVED = "goals_failed"


@dataclass(frozen=True, slots=True)
class AgentCall:
    """An agent that a step calls, by name, with values for its variables.

    `about` is what the session above is about, see `InvocationContext`.
    """

    agent: str
    values: Mapping[str, object]
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FlowCall:
    """A flow that a step calls, by key; without an event it is sent the first that it takes."""

    flow: str
    event: str | None
    input: str


@dataclass(frozen=True, slots=True)
class ChatCall:
    """A model that a step asks, with tools; `content` is what an invoker of models takes."""

    profile: str
    content: MarkedText
    tools: Sequence[str | dict[str, Any]]


ChildCall = AgentCall | FlowCall | ChatCall


class ChildOpener(Protocol):
    """Starts sessions for steps."""

    async def open(self, claim: Claim, child_id: str, call: ChildCall) -> None:
        """Starts a session that belongs to whom the step's belongs to; the step waits for it then.

        If the step is another attempt's by now, or over, nothing is started.

        Raises:
            PublicError: it cannot be started so.
        """


class ChildFailedError(InvokerError):
    """A session that a step started came to nothing; the text is for who asked for it."""


@dataclass(frozen=True, slots=True)
class ChildAnswer:
    """What a session came to, as a text, and how many seconds it took."""

    text: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ChildRuns:
    """The session goes on; the step is to wait for it, at most so many seconds at once."""

    session_id: str
    seconds: float


class ChildRunner:
    """Starts sessions for the steps of one worker, and looks what became of them."""

    def __init__(self, runtime: Runtime, opener: ChildOpener) -> None:
        self._runtime = runtime
        self._opener = opener

    async def call_tool(self, claim: Claim, asked: ServerCall) -> ToolResult | ChildRuns:
        """Makes a call of a tool that is an agent or a flow; what fails is a result too."""
        tool, call = asked.tool, asked.call
        try:
            child_call = _call_of(asked)
            outcome = await self.run(claim, child_call, tool.config["timeout"])
        except ChildFailedError as error:
            return ToolResult.failed(call.id, public_text(error))
        if isinstance(outcome, ChildRuns):
            return outcome
        return ToolResult(
            tool_use_id=call.id,
            status=ToolStatus.SUCCESS,
            payload=tool_payload(outcome.text),
            runtime_ms=round(outcome.seconds * 1000),
        )

    async def run(
        self, claim: Claim, call: ChildCall, most_seconds: float | None
    ) -> ChildAnswer | ChildRuns:
        """Starts the session that the step calls, or looks at it.

        Args:
            claim: the step.
            call: what is called.
            most_seconds: that it may take; None for any.

        Raises:
            ChildFailedError: it cannot be started, or came to nothing.
        """
        if claim.waits_for is None:
            return await self._start(claim, call, most_seconds)
        child = await self._runtime.store.child(claim.session.org_id, claim.waits_for)
        if child is None:
            raise ChildFailedError("The session that was started for it was deleted.")
        if not child.awaited:
            return _answer_of(child)
        left = (most_seconds or float("inf")) - child.seconds
        if left > 0:
            return ChildRuns(claim.waits_for, min(left, _LOOK_SECONDS))
        await cancel_child(self._runtime, claim.session.org_id, claim.waits_for)
        raise ChildFailedError(f"No answer within {most_seconds:g} seconds.")

    async def _start(self, claim: Claim, call: ChildCall, most_seconds: float | None) -> ChildRuns:
        if claim.session.depth >= MAX_DEPTH:
            raise ChildFailedError(
                f"Agents and flows call each other {MAX_DEPTH} levels deep at the most."
            )
        # Another one once the invocation is tried again.
        child_id = derived_id("ath", claim.invocation_id, claim.step_id)
        try:
            await self._opener.open(claim, child_id, call)
        except PublicError as error:
            if is_infrastructure(error):
                raise
            raise ChildFailedError(public_text(error)) from None
        return ChildRuns(child_id, min(most_seconds or _LOOK_SECONDS, _LOOK_SECONDS))


def _call_of(asked: ServerCall) -> AgentCall | FlowCall:
    tool, arguments = asked.tool, asked.call.arguments or {}
    if tool.type == "agent":
        return AgentCall(tool.config["agent"], arguments, asked.about)
    given = arguments if tool.config["takes_object"] else arguments.get("input", "")
    text = given if isinstance(given, str) else orjson.dumps(given).decode()
    return FlowCall(tool.config["flow"], tool.config["event"], text)


def _answer_of(child: ChildSession) -> ChildAnswer:
    """What a session that is at rest came to.

    Raises:
        ChildFailedError: nothing.
    """
    if child.error is not None:
        raise ChildFailedError(child.error)
    if child.state == _UNACHIEVED:
        raise ChildFailedError("It did not bring about what it was asked for.")
    if child.output is not None:
        return ChildAnswer(orjson.dumps(child.output).decode(), child.seconds)
    text = plain_text(child.answer or [])
    if not text:
        raise ChildFailedError("It ended without an answer.")
    return ChildAnswer(text, child.seconds)

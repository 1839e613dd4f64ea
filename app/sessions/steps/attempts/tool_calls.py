"""One attempt of a tool's call: what comes of it is a result for the model, not a failed turn."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import public_text
from app.invokers.invoker import (
    FailureKind,
    InvocationContext,
    InvokerError,
    ToolCall,
    TransientInvokerError,
    UnknownOutcomeError,
)
from app.invokers.pool import Invokers
from app.invokers.tool import ServerCall, ServerTool, ToolResult, ToolStatus
from app.kit.invalid import InvalidValueError
from app.sessions.steps.attempts.connections import ConnectionResolver
from app.sessions.store.claim import Claim
from app.sessions.store.new_rows import StepFence

_TOO_MANY_REQUESTS = 429
_LONGEST_WAIT = 60.0  # seconds that a turn waits for an API that asks it to
_UNKNOWN = "The call was sent, and no answer came: whether it was done is not known."


class CallAgainError(TransientInvokerError):
    """The call is to be made again; how often is the tool's to say."""


class ToolRunner:
    """Makes the calls of one worker.

    A call that writes, to a tool that does not know a repeated call by its key, is made once: where
    an attempt ended without an answer its outcome is unknown, and it is not sent again.
    """

    def __init__(self, invokers: Invokers, connections: ConnectionResolver) -> None:
        self._invokers = invokers
        self._connections = connections
        self._sent: set[StepFence] = set()

    def leaves_in_doubt(self, fence: StepFence) -> bool:
        """Whether an attempt that was cut short may have done what must not be done twice."""
        in_doubt = fence in self._sent
        self._sent.discard(fence)
        return in_doubt

    async def run(self, claim: Claim, server_call: ServerCall) -> ToolResult:
        """Makes the call, or says that nobody knows whether it was made.

        Raises:
            CallAgainError: it is to be made again.
        """
        tool, call = server_call.tool, server_call.call
        if claim.losses and not tool.repeatable:
            return _unknown(call)
        started = time.monotonic()
        try:
            result = await self._call(claim, server_call)
        except InvokerError as error:
            if _may_be_repeated(error, tool) and claim.failures < tool.retries:
                raise CallAgainError(public_text(error), retry_after=error.retry_after) from None
            result = _without_answer(call, tool, error)
        except InvalidValueError as error:  # what the connection says leads to no invoker
            result = ToolResult.failed(call.id, public_text(error))
        result.runtime_ms = round((time.monotonic() - started) * 1000)
        return result

    async def _call(self, claim: Claim, server_call: ServerCall) -> ToolResult:
        tool, call = server_call.tool, server_call.call
        if tool.type == "skill":
            text = await self._connections.skill_text(claim.session.org_id, tool.config)
            return ToolResult(tool_use_id=call.id, status=ToolStatus.SUCCESS, payload=text)
        name, config = await self._connections.resolve_tool(claim.session.org_id, tool)
        invoker = self._invokers.resolve(name, config)
        await invoker.prepare()
        context = InvocationContext(
            claim.step_id, claim.attempt, tool.timeout, about=server_call.about
        )
        with self._sending(claim.fence, tool):
            try:
                async with asyncio.timeout(tool.timeout):
                    payload = await invoker.call(tool, call.arguments or {}, context)
            except TimeoutError:
                raise UnknownOutcomeError(
                    f"No answer within {tool.timeout:g} seconds.", kind=FailureKind.TIMEOUT
                ) from None
        return ToolResult(tool_use_id=call.id, status=ToolStatus.SUCCESS, payload=payload)

    @contextmanager
    def _sending(self, fence: StepFence, tool: ServerTool) -> Iterator[None]:
        if tool.repeatable:
            yield
            return
        self._sent.add(fence)
        try:
            yield
        except asyncio.CancelledError:
            raise  # it stays in doubt
        except BaseException:
            self._sent.discard(fence)
            raise
        self._sent.discard(fence)


def _may_be_repeated(error: InvokerError, tool: ServerTool) -> bool:
    """Whether it may work soon, and the call was not done: an answer of 5xx may follow a write."""
    if not isinstance(error, TransientInvokerError) or (error.retry_after or 0) > _LONGEST_WAIT:
        return False
    if tool.repeatable:
        return True
    return not isinstance(error, UnknownOutcomeError) and error.status in (
        None,
        _TOO_MANY_REQUESTS,
    )


def _without_answer(call: ToolCall, tool: ServerTool, error: InvokerError) -> ToolResult:
    if isinstance(error, UnknownOutcomeError) and not tool.repeatable:
        return _unknown(call)
    return ToolResult.failed(call.id, public_text(error))


def _unknown(call: ToolCall) -> ToolResult:
    return ToolResult(tool_use_id=call.id, status=ToolStatus.UNKNOWN, payload={"error": _UNKNOWN})

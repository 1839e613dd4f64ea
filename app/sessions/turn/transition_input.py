"""What is sent to a session, and the messages that it leaves in the dialogue."""

from dataclasses import dataclass, field, replace
from typing import Any

from app.db.models import MessageStatus
from app.enums import MessageRole
from app.errors import EventNotAcceptedError
from app.invokers.invoker import Finish
from app.sessions.store.cause import Cause, CauseKind
from app.sessions.store.new_rows import NewMessage, StepFence
from app.wire.messages import ErrorCode, error_block


@dataclass(frozen=True, slots=True)
class TransitionInput:
    """What is sent to a session.

    Attributes:
        event: its name.
        input: what the actor says; "" for an invocation that failed.
        cause: what sends it.
        content: the input as message blocks, where a client sent it so; or what was generated
            before an invocation was cut short.
        finish: whether the input is all that the model had to say.
        error: why the invocation failed.
        error_code: what kind of failure that is.
        cancelled: whether it ended because the user cancelled it.
        made_by: the attempt that generated the input.
        results: of an invocation that failed, those of the calls that were made before.
        updates: values for those fields of the model that the flow has.
        checked: whether the service sends it, having checked what a client asked for.
    """

    event: str
    input: str
    cause: Cause
    content: list[dict[str, Any]] | None = None
    finish: Finish = Finish.COMPLETE
    error: str | None = None
    error_code: ErrorCode = ErrorCode.INVOCATION_FAILED
    cancelled: bool = False
    made_by: StepFence | None = None
    results: str = ""
    updates: dict[str, Any] = field(default_factory=dict)
    checked: bool = False

    def failed(self, error: str) -> "TransitionInput":
        """The same end of an invocation as a failure: with empty input."""
        return replace(self, input="", content=None, finish=Finish.COMPLETE, error=error)

    @property
    def internal(self) -> bool:
        """Whether the engine itself sends it."""
        return self.cause.kind is not CauseKind.EVENT


def said_by_user(transition_input: TransitionInput) -> NewMessage:
    """The input as the user's message."""
    if transition_input.content is not None:
        return NewMessage(MessageRole.USER, transition_input.content)
    return NewMessage.text(MessageRole.USER, transition_input.input)


def failure_message(transition_input: TransitionInput) -> NewMessage:
    """What a failed invocation leaves in the dialogue: what was generated, and why it ended."""
    code = ErrorCode.CANCELLED if transition_input.cancelled else transition_input.error_code
    return NewMessage(
        MessageRole.ASSISTANT,
        [*(transition_input.content or []), error_block(transition_input.error or "", code)],
        MessageStatus.CANCELLED if transition_input.cancelled else MessageStatus.FAILED,
        transition_input.made_by,
    )


def refused_while_running(state: str, event: str) -> EventNotAcceptedError:
    """The refusal of a client's event in a state whose invocation runs."""
    return EventNotAcceptedError(
        "An invocation is running; wait for it to end.",
        extra={"current_state": state, "possible_events": [], "received_event": event},
    )

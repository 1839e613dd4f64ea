"""Tools that the service runs when a model calls them."""

import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

import orjson
from pydantic import BaseModel, Field

from app.invokers.invoker import InvocationContext, Invoker, InvokerError, ToolCall
from app.kit.storable import clean_text, load_json

# What the service itself offers a model.
_OWN_NAMES = re.compile("load_skill|submit_output|achieve_.*")
# What a model is shown of one result.
MAX_RESULT_CHARS = 256_000
# A result with more is shown as the text that it is: each value costs, wherever it is read.
MAX_RESULT_VALUES = 20_000
# What it is shown of all results of one answer, as JSON: each call has the same share.
MAX_BYTES_OF_ANSWER = 2_000_000


class Effect(StrEnum):
    """What a tool does to the world; a call that only reads may always be made again."""

    READ = "read"
    WRITE = "write"


class OnLargeResult(StrEnum):
    """What becomes of a result that is longer than a model is shown."""

    CUT = "cut"  # its end is left out, which the model reads
    REFUSE = "refuse"  # the model reads how long it is, and nothing of it


class ServerTool(BaseModel):
    """A tool as a session keeps it, from the start of its thread on.

    Attributes:
        type: what runs it.
        name: what the model calls it by.
        description: for the model to read.
        input_schema: the JSON Schema of its arguments.
        effect: what a call does.
        idempotent: whether it honours the key that goes out with each call.
        approval: whether a person must approve each call; an object has `when`, an expression over
            the arguments.
        approval_timeout: seconds that a person has; None: as the thread says.
        on_large_result: what becomes of a result that is too long.
        timeout: seconds that one attempt may take.
        retries: attempts after the first, where a call may be made again.
        config: what its type needs to run it.
    """

    type: Literal["http", "mcp", "skill", "agent", "flow"]
    name: str
    description: str = ""
    input_schema: dict[str, Any] = Field(default_factory=dict)
    effect: Effect = Effect.WRITE
    idempotent: bool = False
    approval: Literal["never", "always"] | dict[str, str] = "never"
    approval_timeout: float | None = None
    on_large_result: OnLargeResult = OnLargeResult.CUT
    timeout: float = 30.0
    retries: int = 2
    config: dict[str, Any] = Field(default_factory=dict)

    @property
    def runs_session(self) -> bool:
        """Whether a call starts a session, which may wait for people."""
        return self.type in {"agent", "flow"}

    @property
    def repeatable(self) -> bool:
        """Whether a call whose outcome nobody knows may be made again by itself."""
        return self.effect is Effect.READ or self.idempotent


@dataclass(frozen=True, slots=True)
class ServerCall:
    """A call that the service makes; for `about` see `InvocationContext`."""

    tool: ServerTool
    call: ToolCall
    about: Mapping[str, Any] = field(default_factory=dict)


class ToolStatus(StrEnum):
    """How a call ended; `unknown` where it may have had its effect, and nobody knows."""

    SUCCESS = "success"
    ERROR = "error"
    DECLINED = "declined"
    UNKNOWN = "unknown"


class ToolResult(BaseModel):
    """What a call gave back.

    Attributes:
        tool_use_id: the call.
        payload: for the model to read; `{"error": text}` where it did not work.
        runtime_ms: how long it ran.
    """

    tool_use_id: str
    status: ToolStatus
    payload: str | dict[str, Any] | list[Any] | None = None
    runtime_ms: int = Field(0, ge=0, lt=2**63)

    @classmethod
    def failed(cls, tool_use_id: str, error: str, runtime_ms: int = 0) -> "ToolResult":
        """The result of a call that did not work."""
        return cls(
            tool_use_id=tool_use_id,
            status=ToolStatus.ERROR,
            payload={"error": error},
            runtime_ms=runtime_ms,
        )


def share_of(calls: int) -> int:
    """How many bytes each result may have of an answer with so many calls."""
    return MAX_BYTES_OF_ANSWER // max(1, calls)


def fitted(
    result: ToolResult, calls: int, on_large: OnLargeResult = OnLargeResult.CUT
) -> ToolResult:
    """The result of one of so many calls; one that is longer than its share is cut or refused."""
    most, payload = share_of(calls), result.payload
    text = payload if isinstance(payload, str) else orjson.dumps(payload).decode()
    size = len(text.encode())
    if size <= most:
        return result
    if on_large is OnLargeResult.REFUSE:
        return ToolResult.failed(result.tool_use_id, _too_long(f"{size:,} bytes", f"{most:,}"))
    note = f"… [cut: each of {calls} results may have {most:,} bytes, and this one has {size:,}]"
    kept = text.encode()[: most - len(note.encode())].decode(errors="ignore")
    return result.model_copy(update={"payload": kept + note})


def is_reserved(name: str) -> bool:
    """Whether a tool of the service's own has, or may have, this name."""
    return _OWN_NAMES.fullmatch(name) is not None


def tool_payload(
    text: str, on_large: OnLargeResult = OnLargeResult.CUT
) -> str | dict[str, Any] | list[Any] | None:
    """What a tool answered, as the model is shown it: JSON as it is, text cut where it is long.

    JSON of more than `MAX_RESULT_VALUES` is text, too.

    Raises:
        InvokerError: it is too long, and not to be cut.
    """
    text = clean_text(text)
    if len(text) > MAX_RESULT_CHARS:
        if on_large is OnLargeResult.REFUSE:
            raise InvokerError(_too_long("more characters", f"{MAX_RESULT_CHARS:,}"))
        return f"{text[:MAX_RESULT_CHARS]}… [cut: the result is longer than that]"
    try:
        value = load_json(text, clean=True, most=MAX_RESULT_VALUES)
    except ValueError:
        return text
    return value if isinstance(value, dict | list) else text


def _too_long(has: str, most: str) -> str:
    return f"The call was made. Its result has {has}, and may have {most}: ask for less."


class ToolInvoker(Invoker):
    """An invoker that runs tools."""

    @abstractmethod
    async def call(
        self, tool: ServerTool, arguments: dict[str, Any], context: InvocationContext
    ) -> str | dict[str, Any] | list[Any] | None:
        """Makes one call; what comes back is storable.

        Args:
            tool: what is called.
            arguments: they fit its schema.
            context: of the step; its id is the key by which the other side knows a call again.

        Raises:
            UnknownOutcomeError: the request was sent, and no answer came.
            TransientInvokerError: it was not done, and may work later.
            InvokerError: it never will; the text is for the model.
        """

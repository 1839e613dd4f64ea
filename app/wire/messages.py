"""Messages of a thread as the wire shows them: roles, statuses and content blocks."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag
from typing_extensions import TypeAliasType

from app.kit.written_order import WrittenOrder

MAX_TEXT = 1_000_000  # characters of one text block; the body limit bounds the whole request
MAX_BLOCKS = 1_000


class AgentRole(StrEnum):
    """Who speaks. `roboto` is the wire's word for the service itself."""

    USER = "user"
    ASSISTANT = "assistant"
    ROBOTO = "roboto"


class AgentMessageStatus(StrEnum):
    """How far a message has come; completed, failed and cancelled are final."""

    NOT_STARTED = "not_started"
    GENERATING = "generating"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class WireModel(BaseModel):
    """Base of all bodies: a field that is not declared is refused by name, never dropped."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class AgentText(WrittenOrder, WireModel):
    """A block of text that is sent, or of an agent's template: answered as it was written."""

    content_type: Literal["text"] = "text"
    text: str = Field(description="The text itself.", max_length=MAX_TEXT, examples=["Hello."])


class AgentTextContent(AgentText):
    """A block of text of a message that is read; its type is never left out."""


class AgentToolUseContent(WireModel):
    """The model asks for a tool to be called."""

    content_type: Literal["tool_use"] = "tool_use"
    tool_name: str = Field(description="Which tool to call.", examples=["client_read_file"])
    tool_use_id: str = Field(description="Ties the result to this call.", examples=["tu_1"])
    input: dict[str, Any] | None = Field(None, description="The arguments that the model chose.")
    raw_request: dict[str, Any] | None = Field(None, description="The call as it was received.")
    answered_by_server: bool = Field(
        default=False, description="The service answers this call itself; the client must not."
    )


ToolPayload = TypeAliasType("ToolPayload", str | dict[str, Any] | list[Any])


class AgentToolResultContent(WireModel):
    """What a tool gave back."""

    content_type: Literal["tool_result"] = "tool_result"
    tool_name: str = Field(description="The tool that ran.", examples=["client_read_file"])
    tool_use_id: str = Field(description="The call that this answers.", examples=["tu_1"])
    runtime_ms: int = Field(description="How long the tool ran, in milliseconds.", ge=0)
    status: str = Field(description="How it ended.", examples=["success", "error"])
    payload: ToolPayload | None = Field(None, description="The tool's output: text, or JSON.")
    raw_response: dict[str, Any] | None = Field(None, description="Not used; kept for readers.")
    arguments: dict[str, Any] | None = Field(
        None, description="With which arguments the call was made, where a person changed them."
    )


class ErrorCode(StrEnum):
    """What is wrong with a message, as its error block names it."""

    INVOCATION_FAILED = "invocation_failed"
    CANCELLED = "cancelled"
    CUT_BY_LENGTH = "cut_by_length"
    MAX_STEPS = "max_steps"
    BUDGET_EXCEEDED = "budget_exceeded"
    ACTION_DENIED = "action_denied"
    ACTION_EXPIRED = "action_expired"


class ResultStatus(StrEnum):
    """How a call of a tool ended; `declined` by who was to run it."""

    SUCCESS = "success"
    ERROR = "error"
    DECLINED = "declined"


class AgentErrorContent(WireModel):
    """Why a message could not be generated, or not to its end."""

    content_type: Literal["error"] = "error"
    error_message: str = Field(
        description="One sentence for the reader.", examples=["The model did not answer in time."]
    )
    error_code: str | None = Field(None, description="For programs.", examples=["timeout"])


_KIND_BY_MEMBER = {
    "text": "text",
    "error_message": "error",
    "runtime_ms": "tool_result",
    "tool_use_id": "tool_use",
}


def _content_kind(block: Any) -> str | None:
    """The kind of a block; without a type, which clients may leave out, by its own member."""
    if isinstance(block, BaseModel):
        return getattr(block, "content_type", None)
    if not isinstance(block, dict):
        return None
    if "content_type" in block:
        return str(block["content_type"])
    return next((kind for member, kind in _KIND_BY_MEMBER.items() if member in block), "text")


# These types have a name of their own in the OpenAPI document, and so in generated SDKs.
AgentContent = TypeAliasType(
    "AgentContent",
    Annotated[
        Annotated[AgentTextContent, Tag("text")]
        | Annotated[AgentToolUseContent, Tag("tool_use")]
        | Annotated[AgentToolResultContent, Tag("tool_result")]
        | Annotated[AgentErrorContent, Tag("error")],
        Discriminator(
            _content_kind,
            custom_error_type="content_type",
            custom_error_message="not a content block: text, tool_use, tool_result or error",
        ),
    ],
)
"""One block of a message; `content_type` says which kind."""


def plain_text(content: list[dict[str, Any]]) -> str:
    """The text of a message's stored blocks; blocks of other kinds have none."""
    return "".join(block.get("text", "") for block in content)


def error_block(message: str, code: ErrorCode) -> dict[str, Any]:
    """A block that says what is wrong with a message, as it is stored."""
    return {"content_type": "error", "error_message": message, "error_code": code}


def is_cut(content: list[dict[str, Any]]) -> bool:
    """Whether the text of a message's stored blocks ended at the limit of its length."""
    return any(block.get("error_code") == ErrorCode.CUT_BY_LENGTH for block in content)


def _now() -> datetime:
    return datetime.now(UTC)


class AgentUsage(WireModel):
    """What requests to models took."""

    requests: int = Field(description="How many there were; those that were tried again too.")
    input_tokens: int = Field(description="Tokens that were sent.")
    output_tokens: int = Field(description="Tokens that were generated.")
    cached_tokens: int = Field(description="Of the input, what the provider had in its cache.")
    cost: dict[str, str] = Field(
        description="By currency, exact; of what was asked of Providers with prices.",
        examples=[{"USD": "0.00042"}],
    )


class _Envelope(WireModel):
    """What every message carries beside its role and content."""

    status: AgentMessageStatus = Field(
        AgentMessageStatus.NOT_STARTED, description="How far the message has come."
    )
    created: datetime = Field(
        default_factory=_now, description="When the message came into being (UTC)."
    )
    created_by: str | None = Field(
        None,
        description="Id of the user who wrote it; null where nobody did. May be sent as it was "
        "read: the author of what is sent is whose key it is.",
    )


class AgentMessage(_Envelope):
    """A message of a thread, as it is read."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "role": "assistant",
                "content": [{"content_type": "text", "text": "Hello."}],
                "status": "completed",
                "created": "2026-01-31T12:00:00Z",
            }
        }
    )

    role: AgentRole = Field(description="Who speaks.")
    content: list[AgentContent] = Field(description="The blocks of the message, in order.")
    usage: AgentUsage | None = Field(
        None, description="What its generation took, with attempts that failed."
    )


class InitialMessage(WrittenOrder, _Envelope):
    """A message that a thread starts with: the user's, or an earlier answer. Text only."""

    role: Literal["user", "assistant"] = Field(description="Who speaks.")
    content: list[AgentText] = Field(
        description="Blocks of text.", min_length=1, max_length=MAX_BLOCKS
    )


class UserMessage(_Envelope):
    """A message that the user sends to a running thread. Text only."""

    role: Literal["user"] = Field("user", description="Always the user.")
    content: list[AgentText] = Field(
        description="Blocks of text.", min_length=1, max_length=MAX_BLOCKS
    )


def text_and_blocks(message: InitialMessage | UserMessage) -> tuple[str, list[dict[str, Any]]]:
    """A message's text, and its blocks as they are stored."""
    blocks = [block.model_dump(mode="json") for block in message.content]
    return plain_text(blocks), blocks

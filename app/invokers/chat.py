"""What a chat model is sent: messages, which may be read from a text, and tools."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import orjson
from typing_extensions import override

from app.invokers.chat_content import Role, read_messages
from app.invokers.invoker import (
    Answer,
    Finish,
    InvocationContext,
    Invoker,
    InvokerError,
    MarkedText,
    ToolCall,
    Usage,
)
from app.kit.concurrency.off_loop import off_loop
from app.kit.ids import new_id
from app.kit.storable import load_json, value_count
from app.sizes.limit import is_long, size_of

MAX_CHARACTERS = 4_000_000
MAX_MESSAGES = 10_000
MAX_CALLS = 256  # of one answer: half of them are made, the model reads of others what is wrong
MAX_CALL_VALUES = 20_000  # in the arguments of all calls of one answer
_MAX_ESCAPED = 12  # YAML and JSON write one character in so many at the most


@dataclass(frozen=True, slots=True)
class ChatTool:
    """A tool that a model may call; `input_schema` is the JSON Schema of its arguments."""

    name: str
    description: str
    input_schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """What a call gave back; `failed` tells the model that it did not do what it was to do."""

    call: ToolCall
    payload: Any
    failed: bool = False


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a chat; an answer may have called tools, a question may bring the outputs.

    Attributes:
        notice: the service says it, and not the user.
        reasoning: what the model gave with an answer that calls tools; see `Answer`.
    """

    role: Role
    content: str
    calls: tuple[ToolCall, ...] = ()
    outputs: tuple[ToolOutput, ...] = ()
    notice: bool = False
    reasoning: str | None = None

    @property
    def is_of_user(self) -> bool:
        """Whether the user says it: it neither only brings outputs, nor is a notice."""
        brings_only = bool(self.outputs) and not self.content
        return self.role == "user" and not brings_only and not self.notice


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A whole request to a chat model. Each call in it has its output behind it.

    `must_call` names tools of which the answer is to call one, where the server takes that.
    """

    messages: list[ChatMessage]
    tools: tuple[ChatTool, ...] = ()
    must_call: tuple[str, ...] = ()


class ChatInvoker(Invoker):
    """An invoker that can be asked in a conversation, with tools."""

    @abstractmethod
    async def ask(self, request: ChatRequest, context: InvocationContext) -> Answer:
        """Sends one request; see `Invoker.invoke`."""

    @override
    async def invoke(self, content: str, context: InvocationContext) -> Answer:
        messages = read_chat(MarkedText(content, context.values))
        return await self.ask(ChatRequest(messages), context)


class CallReader:
    """Makes the calls of one answer: it may have so many, with so many values in all."""

    def __init__(self) -> None:
        self._left = MAX_CALL_VALUES

    def read(self, name: str, text: str) -> ToolCall:
        """A call, with what its arguments are the JSON of.

        Args:
            name: of the tool.
            text: as the model wrote them.
        """
        try:
            arguments = load_json(text, clean=True, most=self._left)
        except ValueError:
            arguments = None
        else:
            self._left -= value_count(text)
        return ToolCall(new_id("tu"), name, arguments if isinstance(arguments, dict) else None)


def read_chat(content: MarkedText) -> list[ChatMessage]:
    """Reads a YAML or JSON list of `{role, content}`; any other text is one user message.

    See `read_messages` of `chat_content`.

    Raises:
        InvokerError: the content is over `MAX_CHARACTERS` or `MAX_MESSAGES`, or a value stands
            where only the template's own text can.
    """
    if len(content.text) > _MAX_ESCAPED * MAX_CHARACTERS:
        raise InvokerError(f"the content is longer than {MAX_CHARACTERS:,} characters")
    read = read_messages(content) or [("user", content.text)]
    messages = [ChatMessage(role, text) for role, text in read]
    check_size(messages)
    return messages


async def request_size(request: ChatRequest) -> int:
    """How many bytes a request has: texts, calls and their outputs, and tools."""
    texts = [message.content for message in request.messages]
    parts: list[Any] = [[tool.name, tool.description, tool.input_schema] for tool in request.tools]
    for message in request.messages:
        parts += [call.arguments for call in message.calls]
        parts += [output.payload for output in message.outputs]

    def size() -> int:
        return sum(map(size_of, texts)) + sum(len(orjson.dumps(part)) for part in parts)

    return await off_loop(size, heavy=is_long([texts, parts]))


def check_size(messages: list[ChatMessage]) -> None:
    """Refuses a chat of over `MAX_CHARACTERS` or `MAX_MESSAGES`.

    Raises:
        InvokerError: it is that.
    """
    if sum(len(message.content) for message in messages) > MAX_CHARACTERS:
        raise InvokerError(f"the content is longer than {MAX_CHARACTERS:,} characters")
    if len(messages) > MAX_MESSAGES:
        raise InvokerError(f"the content has more than {MAX_MESSAGES:,} messages")


def answer_json(answer: Answer) -> str:
    """An answer as the result of a step."""
    return orjson.dumps(answer).decode()


def read_answer(result: str) -> Answer:
    """The answer that a step's result is; an empty one of a step that failed."""
    if not result:
        return Answer("")
    members = orjson.loads(result)
    return Answer(
        members["text"],
        Finish(members["finish"]),
        tuple(ToolCall(**call) for call in members["calls"]),
        Usage(**members["usage"]),
        members.get("reasoning"),  # steps of the release before have none
    )


def alternating(messages: list[ChatMessage]) -> list[ChatMessage]:
    """The chat with neighbours of one role joined: some servers insist that roles alternate."""
    joined: list[ChatMessage] = []
    for message in messages:
        if joined and joined[-1].role == message.role:
            joined.append(_join(joined.pop(), message))
        else:
            joined.append(message)
    return joined


def _join(first: ChatMessage, second: ChatMessage) -> ChatMessage:
    texts = [text for text in (first.content, second.content) if text]
    return ChatMessage(
        first.role,
        "\n\n".join(texts),
        first.calls + second.calls,
        first.outputs + second.outputs,
        first.notice and second.notice,
        first.reasoning or second.reasoning,
    )


def last_user_text(messages: list[ChatMessage]) -> str:
    """The most recent thing the user said, or the empty string."""
    return next((message.content for message in reversed(messages) if message.is_of_user), "")

"""What a chat model is sent: messages, which may be read from a text, and tools."""

import json
import re
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import orjson
import yaml
from typing_extensions import override

from app.invokers.invoker import (
    Answer,
    Finish,
    InvocationContext,
    Invoker,
    InvokerError,
    ToolCall,
    Usage,
)

Role = Literal["system", "user", "assistant"]

MAX_CHARACTERS = 4_000_000
MAX_MESSAGES = 10_000
_MAX_ESCAPED = 12  # YAML and JSON write one character in so many at the most

_ROLES = frozenset(get_args(Role))
# `tojson` writes an emoji as two escapes, which JSON allows and libyaml refuses.
_SURROGATE_PAIR = re.compile(r"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ToolSpec:
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
    tools: tuple[ToolSpec, ...] = ()
    must_call: tuple[str, ...] = ()


class ChatInvoker(Invoker):
    """An invoker that can be asked in a conversation, with tools."""

    @abstractmethod
    async def ask(self, request: ChatRequest, context: InvocationContext) -> Answer:
        """Sends one request; see `Invoker.invoke`."""

    @override
    async def invoke(self, content: str, context: InvocationContext) -> Answer:
        return await self.ask(ChatRequest(parse_chat(content)), context)


def parse_chat(content: str) -> list[ChatMessage]:
    """Reads a YAML or JSON list of `{role, content}`; any other text is one user message.

    Contents are taken as they are written: `content: yes` is the text "yes".

    Raises:
        InvokerError: the content is over `MAX_CHARACTERS` or `MAX_MESSAGES`.
    """
    if len(content) > _MAX_ESCAPED * MAX_CHARACTERS:
        raise InvokerError(f"the content is longer than {MAX_CHARACTERS:,} characters")
    messages = _parse_list(content) or [ChatMessage("user", content)]
    check_size(messages)
    return messages


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
            joined.append(_joined(joined.pop(), message))
        else:
            joined.append(message)
    return joined


def _joined(first: ChatMessage, second: ChatMessage) -> ChatMessage:
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


def _parse_list(content: str) -> list[ChatMessage] | None:
    """The messages, or None when the text is not a list of them."""
    start = content.lstrip()[:1]
    if start == "[" and (messages := _parse_json(content)):
        return messages
    if start not in {"-", "[", "#"}:
        return None
    try:
        return _parse_yaml(content)
    except yaml.YAMLError:
        repaired = _SURROGATE_PAIR.sub(lambda pair: json.loads(f'"{pair[0]}"'), content)
    try:
        return _parse_yaml(repaired) if repaired != content else None
    except yaml.YAMLError:
        return None


def _parse_json(content: str) -> list[ChatMessage] | None:
    try:
        items = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    messages = [_message(item) for item in items] if isinstance(items, list) else []
    return None if None in messages else cast(list[ChatMessage], messages)


def _parse_yaml(content: str) -> list[ChatMessage] | None:
    """Walks the parser's events and stops at the first that a list of messages does not have.

    Nothing is built from the document, so nesting, aliases and tags cost nothing.
    """
    events = yaml.parse(content, Loader=yaml.CSafeLoader)
    for expected in (yaml.StreamStartEvent, yaml.DocumentStartEvent, yaml.SequenceStartEvent):
        if not isinstance(next(events, None), expected):
            return None
    messages: list[ChatMessage] = []
    for event in events:
        if isinstance(event, yaml.SequenceEndEvent):
            return messages if _only_one_document(events) else None
        message = (
            _message(_read_mapping(events)) if isinstance(event, yaml.MappingStartEvent) else None
        )
        if message is None:
            return None
        messages.append(message)
    return None


def _read_mapping(events: Iterator[yaml.Event]) -> dict[str, str] | None:
    """A mapping of scalars, whose start was read; None when it holds anything else."""
    scalars: list[str] = []
    for event in events:
        if isinstance(event, yaml.MappingEndEvent):
            return dict(zip(scalars[::2], scalars[1::2], strict=True))
        if not isinstance(event, yaml.ScalarEvent) or len(scalars) == 4:  # noqa: PLR2004 - two pairs
            return None
        scalars.append(event.value)
    return None


def _only_one_document(events: Iterator[yaml.Event]) -> bool:
    return [type(event) for event in events] == [yaml.DocumentEndEvent, yaml.StreamEndEvent]


def _message(item: object) -> ChatMessage | None:
    match item:
        case {"role": str(role), "content": str(text), **others} if role in _ROLES and not others:
            return ChatMessage(cast(Role, role), text)
    return None

"""The contract of an invoker: text in, text out, with the step's id as idempotency key."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, NamedTuple, Self

from pydantic_core import to_json

from app.errors import PublicError
from app.invokers.web.request_parts import NO_PARTS, RequestParts

# More than a request can take; a sum of such counts still fits a column.
_MAX_TOKENS = 10**9


class FailureKind(StrEnum):
    """What failed in a call."""

    TIMEOUT = "timeout"  # no answer, or no end of it, in time
    CONNECTION = "connection"  # there was none, or it broke off
    STATUS = "status"  # the answer is an HTTP status that says so
    ANSWER = "answer"  # it came, and cannot be read
    OTHER = "other"

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """The kind of an error that somebody's own code raised."""
        if isinstance(error, TimeoutError):
            return cls.TIMEOUT
        return cls.CONNECTION if isinstance(error, ConnectionError) else cls.OTHER


# Statuses by which a server says that it, or one behind it, did not get ready in time.
_TIMEOUT_STATUSES = frozenset({408, 504})


class InvokerError(PublicError):
    """The call failed for good; the text is shown in the session and holds no secret.

    Args:
        message: the text.
        kind: what failed.
        status: of the answer, where that failed it; `kind` need not be given then.
        retry_after: seconds that the other side asked us to wait, if it said so.
        usage: what the call took all the same, where the other side said so.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: FailureKind = FailureKind.OTHER,
        status: int | None = None,
        retry_after: float | None = None,
        usage: "Usage | None" = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind if status is None else FailureKind.STATUS
        self.status = status
        self.retry_after = retry_after
        self.usage = usage

    @property
    def names(self) -> frozenset[str]:
        """What a retry policy may call it: its kind, or its status and the status's class."""
        if self.status is None:
            return frozenset({self.kind.value})
        names = {str(self.status), f"{self.status // 100}xx"}
        timeout = {FailureKind.TIMEOUT.value} if self.status in _TIMEOUT_STATUSES else set()
        return frozenset(names | timeout)


class TransientInvokerError(InvokerError):
    """The call may work later: no connection, a timeout, 429 or 5xx."""


class UnknownOutcomeError(TransientInvokerError):
    """The request was sent, and no answer came: what it did, nobody knows."""


class Finish(StrEnum):
    """Why an answer ended."""

    COMPLETE = "complete"
    LENGTH = "length"  # at the limit of its length: the text is not all there was to say


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that a model asks for.

    Attributes:
        id: `tu_…`, of our own making: those of servers repeat.
        name: of the tool, as the model writes it; it may be none that was offered.
        arguments: None where they are no JSON object, or one with too many values.
    """

    id: str
    name: str
    arguments: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Usage:
    """How many tokens a model request took; what it read from its cache is among the input."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0

    @classmethod
    def counted(cls, input_tokens: int, output_tokens: int, cached_tokens: int) -> Self:
        """What a server says that it counted, as far as that can be."""
        input_, output, cached = (
            min(max(0, count), _MAX_TOKENS)
            for count in (input_tokens, output_tokens, cached_tokens)
        )
        return cls(input_, output, min(cached, input_))

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What an invoker gave back, and whether that is all of it.

    Attributes:
        text: "" where a model only calls tools.
        finish: why it ended.
        calls: the tools that a model asks for, in its order.
        usage: of a model, where it says so.
        reasoning: of a model that calls tools: what it is sent back with the results, opaque.
    """

    text: str
    finish: Finish = Finish.COMPLETE
    calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()
    reasoning: str | None = None


class Value(NamedTuple):
    """Where a value stands.

    Attributes:
        start: of its first character.
        end: behind its last.
        dialogue: whether it is the dialogue of the session, as YAML.
        indented: whether the template may have indented its further lines.
    """

    start: int
    end: int
    dialogue: bool = False
    indented: bool = False


class MarkedText(NamedTuple):
    """A text with its values, in order; all that is in none of them is the template's own."""

    text: str
    values: tuple[Value, ...] = ()

    @classmethod
    def read(cls, text: str, mark: str, dialogue: str = "") -> Self:
        """The text without its marks.

        Args:
            text: with `mark` before and behind each value; an empty one stands before each that
                the template may have indented.
            mark: what no value holds, as nobody could know it.
            dialogue: the value that is the session's dialogue, if it is shown.
        """
        pieces, values, end = text.split(mark), list[Value](), 0
        for index, piece in enumerate(pieces):
            start, end = end, end + len(piece)
            if index % 2 and piece:
                is_dialogue = dialogue != "" and piece == dialogue
                is_indented = pieces[max(index - 2, 0) : index] == ["", ""]
                values.append(Value(start, end, is_dialogue, is_indented))
        return cls("".join(pieces), tuple(values))

    def pieces(self) -> Iterator[tuple[str, Value | None]]:
        """The text in its pieces, each with the value that it is."""
        end = 0
        for value in self.values:
            yield self.text[end : value.start], None
            yield self.text[value.start : value.end], value
            end = value.end
        yield self.text[end:], None


def result_text(result: object) -> str:
    """What somebody's own code gave back, as a step's result: a text as it is, all else as JSON.

    Raises:
        ValueError: JSON cannot hold it.
    """
    return result if isinstance(result, str) else to_json(result).decode()


async def discard(_text: str) -> None:
    """The sink of partial output that nobody reads."""


@dataclass(frozen=True, slots=True)
class InvocationContext:
    """What an invoker may know of the step that calls it.

    Attributes:
        step_id: to be passed on as idempotency key; the same for every attempt.
        attempt: 1 for the first.
        timeout: seconds that the attempt may take.
        emit: takes each new piece of output as it is generated.
        request: what the template says of an HTTP request beside its body.
        values: of what a chat model is sent, the parts that are not the template's own text.
        max_tokens: that a model's answer may have, whatever its own parameters say; None for any.
        about: what the session of a tool's call is about: its `client_context` and its
            `analysis_scope`, where it has them.
    """

    step_id: str
    attempt: int = 1
    timeout: float = 120.0
    emit: Callable[[str], Awaitable[None]] = discard
    request: RequestParts = NO_PARTS
    values: tuple[Value, ...] = ()
    max_tokens: int | None = None
    about: Mapping[str, Any] = field(default_factory=dict)


class Invoker(ABC):
    """The receiver of templates. One instance serves many steps at once.

    Attributes:
        name: what templates call a built-in invoker by; one in a user's package goes by its
            dotted path and needs none.
        pool_size: bounds how many calls run at once in a worker; None means no bound of its own.
    """

    name: ClassVar[str | None] = None
    pool_size: int | None = None

    @classmethod
    @abstractmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Makes one from the `config` of a template or the `meta.yaml` of its folder.

        Raises:
            ValueError: the config is wrong; the text says what and where.
        """

    @abstractmethod
    async def invoke(self, content: str, context: InvocationContext) -> str | Answer:
        """Sends `content`, gives back the answer; a bare text is one that is complete.

        Raises:
            TransientInvokerError: it may work later; the step is tried again.
            InvokerError: it never will; the step fails.
        """

    async def prepare(self) -> None:  # noqa: B027 - most have nothing to prepare
        """Loads what calls need; it takes none of the time that a call may take."""

    async def close(self) -> None:  # noqa: B027 - most have nothing to close
        """Lets go of connections."""

"""Templates of states: text to render, or a tree of what is invoked when a state is entered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.enums import ActionExpiry, Approvers
from app.invokers.chat import ChatRequest
from app.invokers.invoker import InvokerError, TransientInvokerError
from app.invokers.tool import ServerCall


@dataclass(frozen=True, slots=True)
class Render:
    """Text that is rendered and shown; the state waits for the user."""

    text: str


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a step whose invoker failed is tried again; what is left out is the service's default.

    The words are Temporal's. What infrastructure does to an attempt is no failure: it is not
    counted, and not asked for here.

    Attributes:
        maximum_attempts: in all, with the first.
        initial_interval: seconds before the second attempt, give or take half of them.
        backoff_coefficient: how many times as long each wait is as the one before.
        maximum_interval: seconds of the longest wait; one that the other side asks for may be
            longer.
        on: the failures after which it is tried again: `timeout`, `connection`, `answer` (one that
            cannot be read), a status such as 429, or a class of them such as `5xx`. All others are
            final at once. None for all that may pass: no connection, no answer in time or none
            that can be read, 408, 425, 429 and 5xx.
    """

    maximum_attempts: int | None = None
    initial_interval: float | None = None
    backoff_coefficient: float | None = None
    maximum_interval: float | None = None
    on: tuple[str | int, ...] | None = None

    def is_final(self, error: InvokerError) -> bool:
        """Whether nothing is tried again after the error, however few attempts there were."""
        if self.on is None:
            return not isinstance(error, TransientInvokerError)
        return not error.names.intersection(map(str, self.on))

    def interval(self, failures: int, initial: float, most: float) -> float:
        """The seconds to wait after so many failures, before any spread.

        Args:
            failures: so far, at least one.
            initial: the default of `initial_interval`.
            most: the default of `maximum_interval`.
        """
        first = initial if self.initial_interval is None else self.initial_interval
        return min(first * (self.backoff_coefficient or 2) ** (failures - 1), self.ceiling(most))

    def ceiling(self, most: float) -> float:
        """The longest wait. A first wait that is longer than the default stands for itself."""
        if self.maximum_interval is not None:
            return self.maximum_interval
        return max(most, self.initial_interval or 0)


@dataclass(frozen=True, slots=True)
class Invoke:
    """Text that is rendered and sent to an invoker: a leaf of the step graph.

    Attributes:
        text: Jinja2 source.
        invoker: a built-in invoker, a Provider, or (code flows only) a class by its dotted path.
        config: the invoker's own settings.
        timeout: seconds that one attempt may take; None for the default.
        retries: attempts after the first; None for the default. Short for a policy that says no
            more than that.
        retry: the policy; None for the default.
    """

    text: str
    invoker: str
    config: dict[str, Any] = field(default_factory=dict)
    timeout: float | None = None
    retries: int | None = None
    retry: RetryPolicy | None = None

    @property
    def maximum_attempts(self) -> int | None:
        """How often it is tried in all; None for the default."""
        if self.retry is not None:
            return self.retry.maximum_attempts
        return None if self.retries is None else self.retries + 1


@dataclass(frozen=True, slots=True)
class Chain:
    """One after the other; each sees the result of the one before as `previous_result`."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Parallel:
    """All at once; the result is a JSON object with the same keys."""

    parts: dict[str, "Node"]


@dataclass(frozen=True, slots=True)
class Map:
    """The same template for each item of a JMESPath; the result is a JSON list in order."""

    over: str
    part: "Node"
    index_field: str = "map_index"
    value_field: str = "map_value"


@dataclass(frozen=True, slots=True)
class Queue:
    """Runs what is inside on the workers that serve this queue."""

    name: str
    part: "Node"


@dataclass(frozen=True, slots=True)
class Call:
    """A function of a code flow: given the render data, it gives a text, or what JSON can hold.

    An async function is awaited, any other runs in a thread.
    """

    function: Callable[[dict[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Ask:
    """A question to a person, whose answer is the step's result: a leaf that waits for nobody here.

    Attributes:
        message: what is asked; Jinja2 source.
        schema: the JSON Schema (2020-12) of an answer.
        expires: seconds that an answer is waited for; None for the default.
        on_expiry: what the invocation comes to then: it fails, or is cancelled.
        approvers: who may answer; None: the session's owner, and keys with the scope `approve`.
    """

    message: str
    schema: dict[str, Any]
    expires: float | None = None
    on_expiry: ActionExpiry = ActionExpiry.FAIL
    approvers: Approvers | None = None


@dataclass(frozen=True, slots=True)
class RunAgent:
    """A call of an agent of the org: a leaf that waits for a session of the agent's own.

    Attributes:
        agent: its name.
        values: of its variables; Jinja2 sources.
        timeout: seconds that the session may take; None for any.
    """

    agent: str
    values: dict[str, str] = field(default_factory=dict)
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class RunChat:
    """A turn of a model that may call tools: a leaf that waits for a session of its own.

    Attributes:
        text: Jinja2 source of what the model is asked, as an invoker of models takes it.
        profile: which model answers: a built-in profile, or a Provider.
        tools: as a thread takes them.
        timeout: seconds that the session may take; None for any.
    """

    text: str
    profile: str
    tools: list[str | dict[str, Any]]
    timeout: float | None = None


class Spoken(NamedTuple):
    """A message of the dialogue as a request to a model is made of it.

    `reasoning` is that of `Answer`, of answers of the turn that runs.
    """

    role: str
    content: list[dict[str, Any]]
    reasoning: str | None = None


@dataclass(frozen=True, slots=True)
class Converse:
    """One request to a chat model, with the dialogue as it stands and tools.

    Attributes:
        request: makes it of the session's model and the dialogue.
        profile: the invoker or Provider that answers, of the session's model.
    """

    request: Callable[[Any, Sequence[Spoken]], ChatRequest]
    profile: Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class RunTool:
    """One call of a tool that the service runs itself: a part of a map over such calls.

    Attributes:
        call: finds the call in the session's model and the map's item.
    """

    call: Callable[[Any, Any], ServerCall]


Node = (
    Invoke | Chain | Parallel | Map | Queue | Call | Ask | RunAgent | RunChat | Converse | RunTool
)
Template = Render | Node


def map_paths(node: Node) -> list[str]:
    """The JMESPaths of all maps in a tree: what planning it reads of the render data."""
    match node:
        case Chain(parts):
            return [path for part in parts for path in map_paths(part)]
        case Parallel(keyed):
            return [path for part in keyed.values() for path in map_paths(part)]
        case Map(over, part):
            return [over, *map_paths(part)]
        case Queue(_, part):
            return map_paths(part)
        case _:
            return []


def queue_names(template: Template) -> set[str]:
    """The queues that a template names."""
    match template:
        case Chain(parts):
            return set().union(*map(queue_names, parts))
        case Parallel(keyed):
            return set().union(*map(queue_names, keyed.values()))
        case Map(part=part):
            return queue_names(part)
        case Queue(name, part):
            return {name} | queue_names(part)
        case _:
            return set()


def asks_people(template: Template) -> bool:
    """Whether a step of a template asks a person."""
    match template:
        case Chain(parts):
            return any(asks_people(part) for part in parts)
        case Parallel(keyed):
            return any(asks_people(part) for part in keyed.values())
        case Map(part=part) | Queue(part=part):
            return asks_people(part)
        case _:
            return isinstance(template, Ask)

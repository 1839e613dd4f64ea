"""Templates of states: text to render, or a tree of what is invoked when a state is entered."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Render:
    """Text that is rendered and shown; the state waits for the user."""

    text: str


@dataclass(frozen=True, slots=True)
class Invoke:
    """Text that is rendered and sent to an invoker: a leaf of the step graph.

    Attributes:
        text: Jinja2 source.
        invoker: a built-in invoker, a Provider, or (code flows only) a class by its dotted path.
        config: the invoker's own settings.
        timeout: seconds that one attempt may take; None for the default.
        retries: attempts after the first; None for the default.
    """

    text: str
    invoker: str
    config: dict[str, Any] = field(default_factory=dict)
    timeout: float | None = None
    retries: int | None = None


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
    """Run what is inside on the workers that serve this queue."""

    name: str
    part: "Node"


@dataclass(frozen=True, slots=True)
class Call:
    """A function of a code flow: given the render data, it gives a text, or what JSON can hold.

    An async function is awaited, any other runs in a thread.
    """

    function: Callable[[dict[str, Any]], Any]


Node = Invoke | Chain | Parallel | Map | Queue | Call
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

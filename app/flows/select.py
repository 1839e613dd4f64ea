"""What a JMESPath selects, in bounded time and memory: paths come from manifests and clients.

A path of forty characters can ask for more memory than there is: `[@,@][] | [@,@][] | …` doubles a
list at each step. So every value that a path makes is measured, and the time is up at some point.
"""

import time
from collections.abc import Iterator
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions, signature
from jmespath.visitor import Options, TreeInterpreter
from typing_extensions import override

from app.errors import ConflictError
from app.kit.path_faults import path_fault
from app.kit.storable import NotStorableError, check_json

CPU_SECONDS = 0.5
MAX_SIZE = 10_000_000

# What makes values of its own; the others find those that are there.
_MAKERS = frozenset(
    {
        "filter_projection",
        "function_expression",
        "multi_select_dict",
        "multi_select_list",
        "projection",
        "value_projection",
    }
)

# Those that take an expression, such as `&name`; anywhere else it would be no JSON.
_TAKE_EXPRESSIONS = frozenset({"map", "max_by", "min_by", "sort_by"})


class PathError(ConflictError, JMESPathError):
    """A JMESPath is wrong, does not fit the data or asks for too much."""

    code = "path-failed"
    title = "JMESPath failed"


class Selection:
    """What several JMESPaths select, which have their time together. Call it in a thread."""

    def __init__(self, seconds: float = CPU_SECONDS) -> None:
        self._seconds = seconds

    def __call__(self, path: str, data: Any) -> Any:
        """What one of them selects; see `select`."""
        began = time.thread_time()
        try:
            return select(path, data, self._seconds)
        finally:
            self._seconds -= time.thread_time() - began


def select(path: str, data: Any, seconds: float = CPU_SECONDS) -> Any:
    """What a JMESPath selects from plain JSON, in so many seconds of the processor; plain JSON too.

    Raises:
        PathError: the path is wrong, does not fit the data or asks for too much.
    """
    try:
        parsed: Any = jmespath.compile(path).parsed
        _check_written(parsed)
        return _Interpreter(seconds).visit(parsed, data)
    except PathError:
        raise
    except NotStorableError as error:
        raise PathError(f"The JMESPath {path[:100]!r} makes what is no JSON: {error}.") from None
    except RecursionError:
        raise PathError("The JMESPath or the data nest too deeply.") from None
    except (JMESPathError, ValueError, TypeError, ArithmeticError, AttributeError) as error:
        fault = path_fault(error)
        raise PathError(f"The JMESPath {path[:100]!r} failed: {fault}") from error


def _check_written(parsed: dict[str, Any]) -> None:
    """Refuses literals and expressions that would make a value no JSON.

    Raises:
        NotStorableError: a literal is none that can be stored.
        PathError: an expression is not the argument of a function.
    """
    for node, parent in _nodes(parsed):
        if node["type"] == "literal":
            check_json(node["value"])
        elif node["type"] == "expref" and parent.get("value") not in _TAKE_EXPRESSIONS:
            raise PathError("The JMESPath has an expression that no function takes.")


def _nodes(parsed: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The nodes of a path, each with the one above it."""
    waiting: list[tuple[dict[str, Any], dict[str, Any]]] = [(parsed, {})]
    while waiting:
        node, parent = waiting.pop()
        yield node, parent
        waiting.extend((child, node) for child in node["children"] if isinstance(child, dict))


class _Functions(Functions):
    """The functions of JMESPath; the one that multiplies texts looks before it does."""

    @signature({"types": ["string"]}, {"types": ["array-string"]})
    def _func_join(self, separator: str, items: list[str]) -> str:
        _check(len(separator) * len(items) + sum(map(len, items)))
        return separator.join(items)


class _Interpreter(TreeInterpreter):
    """The library's interpreter, with an end."""

    def __init__(self, seconds: float) -> None:
        super().__init__(Options(custom_functions=_Functions()))
        self._end = time.thread_time() + seconds
        # Sizes by identity; the values are kept, so that no other gets the identity of one.
        self._sizes: dict[int, tuple[int, Any]] = {}

    @override
    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        if time.thread_time() > self._end:
            raise PathError("The JMESPath takes too long.")
        found = super().visit(node, *args, **kwargs)
        if node["type"] in _MAKERS:
            _check(self._size(found))
        if node["type"] == "function_expression" and isinstance(found, int | float):
            check_json(found)  # sums, and texts that are made numbers
        return found

    def _size(self, value: Any) -> int:
        """How large a value is when it is written out, where parts may be there many times."""
        if isinstance(value, str):
            return len(value) + 1
        if not isinstance(value, list | dict):
            return 1
        known = self._sizes.get(id(value))
        if known is None:
            parts = [*value, *value.values()] if isinstance(value, dict) else value
            known = (1 + sum(map(self._size, parts)), value)
            self._sizes[id(value)] = known
        return known[0]


def _check(size: int) -> None:
    if size > MAX_SIZE:
        raise PathError("The JMESPath makes too large a value.")

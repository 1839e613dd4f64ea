"""What a JMESPath selects, in bounded time and memory: paths come from manifests and clients.

A path of forty characters can ask for more memory than there is: `[@,@][] | [@,@][] | …` doubles a
list at each step. So every value that a path makes is measured, and the time is up at some point.
"""

import time
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions, signature
from jmespath.visitor import Options, TreeInterpreter
from typing_extensions import override

from app.errors import ConflictError
from app.kit.path_faults import path_fault

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
    """What a JMESPath selects from plain JSON, in so many seconds of the processor.

    Raises:
        PathError: the path is wrong, does not fit the data or asks for too much.
    """
    try:
        return _Interpreter(seconds).visit(jmespath.compile(path).parsed, data)
    except PathError:
        raise
    except RecursionError:
        raise PathError("The JMESPath or the data nest too deeply.") from None
    except (JMESPathError, ValueError, TypeError, ArithmeticError, AttributeError) as error:
        fault = path_fault(error)
        raise PathError(f"The JMESPath {path[:100]!r} failed: {fault}") from error


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

"""Guards and assigned values of flows from manifests: a small language over plain JSON values.

Python's syntax, of which only this much is taken: names, literals, members by dot or bracket,
arithmetic, comparisons, `in`, `not in`, `and`, `or`, `not`, `a if b else c`, and the functions
`length`, `lower` and `matches`. Nothing else can be called and nothing loops. A member that is
missing is null, at any depth, and null is neither less nor more than anything.

python-statemachine's own restricted evaluator is not used: it reads attributes of Python's own
objects, evaluates `a < (b < (c < d) < e) < f` in exponential time, and changes words inside texts.
Its arithmetic, which bounds what a result may grow to, is.
"""

import ast
import operator
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any, Protocol

from statemachine.spec_parser import binary_operators

from app.errors import ConflictError
from app.flows.manifest.functions import COMPARISONS, called_function, failure_reason, word_for
from app.kit.invalid import InvalidValueError
from app.kit.storable import text_fault

MAX_CHARS = 1000
MAX_DEPTH = 50
CPU_SECONDS = 0.2

CONSTANTS = {"true": True, "false": False, "null": None}


class ExpressionError(ValueError):
    """The text is no expression of this language; the message says why."""


class EvaluationError(ConflictError):
    """A guard or an assignment of the flow failed on the session's data; nothing was changed."""

    code = "evaluation-failed"
    title = "Flow expression failed"


class Names(Protocol):
    """Where an expression finds the values of names."""

    def read(self, name: str) -> Any:
        """The value of a name: plain JSON."""

    def tick(self) -> None:
        """Raises where the expressions of one event take too long; called on the way."""


class Clock:
    """Processor time that the expressions of one event may take together, from the first on."""

    def __init__(self, seconds: float = CPU_SECONDS) -> None:
        self._seconds = seconds
        self._end: float | None = None  # of the thread that they are evaluated in

    def tick(self) -> None:
        """Raises `EvaluationError` when the time is up."""
        now = time.thread_time()
        if self._end is None:
            self._end = now + self._seconds
        if now > self._end:
            raise EvaluationError("The flow's expressions take too long on this session's data.")


Evaluate = Callable[[Names], Any]


def compile_expression(text: object, names: Collection[str]) -> Evaluate:
    """Makes a function of an expression.

    Args:
        text: the expression; anything but a text is refused.
        names: what it may read.

    Returns:
        Evaluates it in a scope; raises `EvaluationError`, which quotes the text but no value.

    Raises:
        ExpressionError: it is not of this language, or reads an unknown name.
    """
    if not isinstance(text, str) or not text.strip():
        raise ExpressionError("must be an expression, as a text")
    if len(text) > MAX_CHARS:
        raise ExpressionError(f"is longer than {MAX_CHARS} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except SyntaxError as error:
        place = f"from column {error.offset} on" if error.offset else "anywhere"
        raise ExpressionError(f"is not a valid expression, as it cannot be read {place}") from None
    except (ValueError, RecursionError, MemoryError):
        raise ExpressionError("is not a valid expression") from None
    body = _Compiler(names).compile(tree.body)

    def evaluate(scope: Names) -> Any:
        try:
            return body(scope)
        except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
            reason = failure_reason(error)
            raise EvaluationError(f"The flow's expression {text!r} failed: {reason}.") from None

    return evaluate


class _Compiler:
    """Turns a syntax tree into functions; what it has no method for is refused."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._depth = 0

    def compile(self, node: ast.expr) -> Evaluate:
        make = getattr(self, f"_{type(node).__name__.lower()}", None)
        if make is None:
            raise ExpressionError(_why_not(node))
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(f"nests more than {MAX_DEPTH} levels deep")
        made: Evaluate = make(node)
        self._depth -= 1
        return made

    def _all(self, nodes: Iterable[ast.expr]) -> list[Evaluate]:
        return [self.compile(node) for node in nodes]

    def _constant(self, node: ast.Constant) -> Evaluate:
        value = node.value
        if not (value is None or isinstance(value, str | bool | int | float)):
            raise ExpressionError("literals are texts, numbers, true, false and null")
        fault = text_fault(value) if isinstance(value, str) else None
        if fault is not None:
            raise ExpressionError(fault)
        return lambda _: value

    def _name(self, node: ast.Name) -> Evaluate:
        name = node.id
        if name in CONSTANTS and name not in self._names:
            constant = CONSTANTS[name]
            return lambda _: constant
        if name not in self._names:
            raise ExpressionError(
                f"{name!r} is not known here; expressions see the model's fields, "
                "actor_input, parsed_actor_input, task_error and user_info"
            )

        def read(scope: Names) -> Any:
            scope.tick()
            return scope.read(name)

        return read

    def _ifexp(self, node: ast.IfExp) -> Evaluate:
        condition, then = self.compile(node.test), self.compile(node.body)
        otherwise = self.compile(node.orelse)
        return lambda scope: then(scope) if condition(scope) else otherwise(scope)

    def _call(self, node: ast.Call) -> Evaluate:
        try:
            apply = called_function(node)
        except InvalidValueError as error:
            raise ExpressionError(str(error)) from None
        value = self.compile(node.args[0])

        def evaluate(scope: Names) -> Any:
            scope.tick()
            return apply(value(scope))

        return evaluate

    def _attribute(self, node: ast.Attribute) -> Evaluate:
        holder, key = self.compile(node.value), node.attr
        return lambda scope: member(holder(scope), key)

    def _subscript(self, node: ast.Subscript) -> Evaluate:
        if isinstance(node.slice, ast.Slice):
            raise ExpressionError("slices are not supported")
        holder, key = self.compile(node.value), self.compile(node.slice)
        return lambda scope: member(holder(scope), key(scope))

    def _list(self, node: ast.List | ast.Tuple) -> Evaluate:
        items = self._all(node.elts)
        return lambda scope: [item(scope) for item in items]

    _tuple = _list

    def _dict(self, node: ast.Dict) -> Evaluate:
        keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
        if len(keys) < len(node.keys) or not all(isinstance(key, str) for key in keys):
            raise ExpressionError("the keys of an object are literal texts")
        members = list(zip(keys, self._all(node.values), strict=True))
        return lambda scope: {key: value(scope) for key, value in members}

    def _boolop(self, node: ast.BoolOp) -> Evaluate:
        parts = self._all(node.values)
        ends = isinstance(node.op, ast.Or)

        def evaluate(scope: Names) -> Any:
            value = None
            for part in parts:
                value = part(scope)
                if bool(value) is ends:
                    break
            return value

        return evaluate

    def _unaryop(self, node: ast.UnaryOp) -> Evaluate:
        operand = self.compile(node.operand)
        if isinstance(node.op, ast.Not):
            return lambda scope: not operand(scope)
        if isinstance(node.op, ast.Invert):
            raise ExpressionError("the operator ~ is not supported")
        sign = operator.neg if isinstance(node.op, ast.USub) else operator.pos
        return lambda scope: sign(operand(scope))

    def _binop(self, node: ast.BinOp) -> Evaluate:
        apply: Callable[[Any, Any], Any] | None = binary_operators.get(type(node.op))
        if apply is None:
            raise ExpressionError("the operators are + - * / // % and **")
        left, right = self.compile(node.left), self.compile(node.right)

        def evaluate(scope: Names) -> Any:
            scope.tick()
            a, b = left(scope), right(scope)
            try:
                return apply(a, b)
            except TypeError:
                raise InvalidValueError(
                    f"{word_for(a)} and {word_for(b)} do not go together"
                ) from None

        return evaluate

    def _compare(self, node: ast.Compare) -> Evaluate:
        if any(type(op) not in COMPARISONS for op in node.ops):
            raise ExpressionError("compare with == and !=, not with is")
        operators = [COMPARISONS[type(op)] for op in node.ops]
        first = self.compile(node.left)
        steps = list(zip(operators, self._all(node.comparators), strict=True))

        def evaluate(scope: Names) -> bool:
            left = first(scope)
            for compare, part in steps:
                scope.tick()
                right = part(scope)
                if not compare(left, right):
                    return False
                left = right
            return True

        return evaluate


def member(holder: Any, key: Any) -> Any:
    """The member of an object, or the item of a list or text; null if there is none."""
    if isinstance(holder, dict):
        return holder.get(key) if isinstance(key, str) else None
    is_index = isinstance(key, int) and not isinstance(key, bool)
    if isinstance(holder, list | str) and is_index and -len(holder) <= key < len(holder):
        return holder[key]
    return None


def _why_not(node: ast.expr) -> str:
    return f"{type(node).__name__} is not supported in an expression"

"""The step graph of an invocation: which steps a template starts, and what follows a finished one.

Pure functions over the template tree. A step's `path` is its place in the tree: "" is the root,
children append "/<index or key>". Leaves run; composites wait for their children.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from app.enums import StepKind
from app.errors import ConflictError
from app.flows.scope import StepScope, parse_result
from app.flows.template import (
    Ask,
    Call,
    Chain,
    Converse,
    Invoke,
    Map,
    Node,
    Parallel,
    Queue,
    RunAgent,
    RunChat,
    RunTool,
    map_paths,
)

# Most steps that one state starts at once: what a client sends may say how many.
MAX_STEPS = 10_000

Unwrapped = Invoke | Chain | Parallel | Map | Call | Ask | RunAgent | RunChat | Converse | RunTool
Select = Callable[[str, dict[str, Any]], Any]
DEFAULT_QUEUE = "default"


class TooManyStepsError(ConflictError):
    """A template would start more steps than one state may."""

    code = "too-many-steps"
    title = "Too many steps"


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step to be stored. One with a `result` is done already (what an empty map gives).

    `remaining` counts the open children of a parallel or map; in a chain it counts the steps that
    its later parts will need at least, so that progress knows of them.
    """

    path: str
    kind: StepKind
    queue: str
    scope: StepScope
    remaining: int = 0
    result: str | None = None


@dataclass(frozen=True, slots=True)
class StepPlan:
    """Steps to store, parents first; or, when nothing has to run, the result at once.

    `to_come` is how many steps the later parts of the chain that goes on need at least.
    """

    steps: list[PlannedStep] = field(default_factory=list)
    result: str | None = None
    to_come: int = 0


class Graph:
    """The step graph of one invoker state.

    Args:
        root: the state's template.
        data: the render data of the invocation: the same at each call.
        select: evaluates a JMESPath over render data.
    """

    def __init__(self, root: Node, data: dict[str, Any], select: Select) -> None:
        self._root = root
        self._data = data
        self._select = select
        # By identity, with the texts, so that no other gets the identity of one.
        self._visible: dict[int, tuple[str, dict[str, Any]]] = {}

    @property
    def selects(self) -> bool:
        """Whether planning evaluates JMESPaths, which may take long."""
        return bool(map_paths(self._root))

    def start(self) -> StepPlan:
        """What entering the state starts."""
        return self._expand(self._root, "", DEFAULT_QUEUE, StepScope())

    def follow(self, path: str, child: str, scope: StepScope, result: str) -> StepPlan:
        """What follows in the chain at `path` after its part at `child` ended with `result`."""
        node, queue = self.find(path)
        if not isinstance(node, Chain):
            raise TypeError(f"the step at {path!r} is not a chain")
        index = int(child.rsplit("/", 1)[1]) + 1
        return self._chain(node, index, path, queue, replace(scope, previous_result=result))

    def find(self, path: str) -> tuple[Unwrapped, str]:
        """The node at a path, and its queue."""
        node, queue = _unwrap(self._root, DEFAULT_QUEUE)
        for part in path.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            node, queue = _unwrap(_child(node, key), queue)
        return node, queue

    def assemble(self, path: str, results: dict[str, str]) -> str:
        """The JSON of a finished parallel or map; `results` maps child paths to their results."""

        # One after the other: as values they take many times as much memory as written out.
        def value_of(key: str | int) -> str:
            return _dump(parse_result(results[_join(path, key)]))

        node, _ = self.find(path)
        if isinstance(node, Parallel):
            members = [f"{_dump(key)}: {value_of(key)}" for key in node.parts]
            return f"{{{', '.join(members)}}}"
        return f"[{', '.join(value_of(index) for index in range(len(results)))}]"

    def _expand(self, node: Node, path: str, queue: str, scope: StepScope) -> StepPlan:
        inner, queue = _unwrap(node, queue)
        match inner:
            case Invoke() | Call() | Ask() | RunAgent() | RunChat() | Converse() | RunTool():
                return StepPlan([PlannedStep(path, StepKind.LEAF, queue, scope)])
            case Chain():
                plan = self._chain(inner, 0, path, queue, scope)
                if plan.result is not None:
                    return plan
                head = PlannedStep(path, StepKind.CHAIN, queue, scope, plan.to_come)
                return StepPlan([head, *plan.steps])
            case Parallel():
                keyed = {key: (part, scope) for key, part in inner.parts.items()}
                return self._fan(StepKind.PARALLEL, keyed, path, queue, scope)
            case Map():
                return self._fan(StepKind.MAP, self._items(inner, scope), path, queue, scope)

    def _chain(self, node: Chain, index: int, path: str, queue: str, scope: StepScope) -> StepPlan:
        """The parts from `index` on; those that have nothing to run are done at once."""
        passed: list[PlannedStep] = []
        for i in range(index, len(node.parts)):
            part_path = _join(path, i)
            plan = self._expand(node.parts[i], part_path, queue, scope)
            if plan.result is None:
                to_come = sum(leaves(part) for part in node.parts[i + 1 :])
                return StepPlan([*passed, *plan.steps], to_come=to_come)
            passed.append(PlannedStep(part_path, StepKind.LEAF, queue, scope, result=plan.result))
            scope = replace(scope, previous_result=plan.result)
        return StepPlan(result=scope.previous_result)

    def _fan(
        self,
        kind: StepKind,
        parts: dict[str, tuple[Node, StepScope]],
        path: str,
        queue: str,
        scope: StepScope,
    ) -> StepPlan:
        below: list[PlannedStep] = []
        results: dict[str, str] = {}
        _bound(len(parts))
        for key, (part, part_scope) in parts.items():
            part_path = _join(path, key)
            plan = self._expand(part, part_path, queue, part_scope)
            if plan.result is not None:
                results[part_path] = plan.result
                below.append(
                    PlannedStep(part_path, StepKind.LEAF, queue, part_scope, result=plan.result)
                )
            below += plan.steps
            _bound(len(below))
        if len(results) == len(parts):
            return StepPlan(result=self.assemble(path, results))
        return StepPlan([PlannedStep(path, kind, queue, scope, len(parts) - len(results)), *below])

    def _items(self, node: Map, scope: StepScope) -> dict[str, tuple[Node, StepScope]]:
        found = self._select(node.over, self._data | self._visible_data(scope) | scope.fields)
        items = found if isinstance(found, list) else [] if found is None else [found]
        return {
            str(i): (
                node.part,
                replace(
                    scope,
                    fields=scope.fields | {node.index_field: i, node.value_field: item},
                ),
            )
            for i, item in enumerate(items)
        }

    def _visible_data(self, scope: StepScope) -> dict[str, Any]:
        """The result before, which is parsed once for all the maps that see it."""
        text = scope.previous_result
        if text is None:
            return {}
        if id(text) not in self._visible:
            self._visible[id(text)] = (text, StepScope(text).visible())
        return self._visible[id(text)][1]


def _bound(steps: int) -> None:
    if steps > MAX_STEPS:
        raise TooManyStepsError(f"More than {MAX_STEPS} steps would start at once.")


def leaves(node: Node) -> int:
    """How many steps a node needs at least: one in place of all that may turn out to be empty."""
    if _may_be_empty(node):
        return 1
    match node:
        case Chain(parts):
            return sum(leaves(part) for part in parts)
        case Parallel(keyed):
            return sum(leaves(part) for part in keyed.values())
        case Queue(_, part):
            return leaves(part)
        case _:
            return 1


def _may_be_empty(node: Node) -> bool:
    """Whether a node may have nothing to run, so that one step that is done stands for it."""
    match node:
        case Map():
            return True
        case Chain(parts):
            return all(_may_be_empty(part) for part in parts)
        case Parallel(keyed):
            return all(_may_be_empty(part) for part in keyed.values())
        case Queue(_, part):
            return _may_be_empty(part)
        case _:
            return False


def _unwrap(node: Node, queue: str) -> tuple[Unwrapped, str]:
    if isinstance(node, Queue):
        return _unwrap(node.part, node.name)
    return node, queue


def _child(node: Node, key: str) -> Node:
    match node:
        case Chain():
            return node.parts[int(key)]
        case Parallel():
            return node.parts[key]
        case Map():
            return node.part
        case _:
            raise KeyError(key)


def _join(path: str, key: str | int) -> str:
    text = str(key).replace("~", "~0").replace("/", "~1")
    return f"{path}/{text}"


def _dump(value: Any) -> str:
    # With a space after commas and colons, as people and models write it.
    return json.dumps(value, ensure_ascii=False)

"""The step graph against a straightforward evaluation: same result, each leaf once, right totals.

`Board` is the protocol of the rows without a database: what `app.sessions.steps.completion` and the
statements do, in memory. Leaves finish in any order.
"""

import json
import random
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from app.flows.graph import Graph, PlannedStep, StepPlan, StepScope, leaves, parse_result
from app.flows.template import Chain, Invoke, Map, Node, Parallel, Queue

DATA: dict[str, Any] = {"none": [], "one": ["a"], "three": [1, "b", {"c": None}], "scalar": 5}
PATHS = ["none", "one", "three", "scalar", "missing", "previous_result", "parsed_previous_result"]

_leaf = st.builds(Invoke, st.text("xyz", min_size=1, max_size=3), st.just("verbatim"))


def _composites(nodes: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return st.one_of(
        st.builds(Chain, st.lists(nodes, min_size=1, max_size=3).map(tuple)),
        st.builds(
            Parallel, st.dictionaries(st.text("k/~01", max_size=3), nodes, min_size=1, max_size=3)
        ),
        st.builds(Map, st.sampled_from(PATHS), nodes, st.sampled_from(["i", "j"]), st.just("v")),
        st.builds(Queue, st.sampled_from(["q1", "q2"]), nodes),
    )


trees = st.recursive(_leaf, _composites, max_leaves=8)


def rendered(node: Invoke, scope: StepScope) -> str:
    """What a leaf gives back: all that its template would see."""
    seen = {"text": node.text, **scope.visible()}
    return orjson.dumps(seen, option=orjson.OPT_SORT_KEYS).decode()


def written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def select(path: str, data: dict[str, Any]) -> Any:
    return data.get(path)


def evaluated(node: Node, scope: StepScope, ran: list[str]) -> str | None:
    """The result of a tree, evaluated part by part; `ran` gets what each leaf gave."""
    match node:
        case Queue(_, part):
            return evaluated(part, scope, ran)
        case Chain(parts):
            for part in parts:
                scope = replace(scope, previous_result=evaluated(part, scope, ran))
            return scope.previous_result
        case Parallel(keyed):
            values = {key: parse_result(evaluated(part, scope, ran)) for key, part in keyed.items()}
            return written(values)
        case Map(over, part, index_field, value_field):
            found = select(over, DATA | scope.visible())
            items = found if isinstance(found, list) else [] if found is None else [found]
            results = []
            for index, item in enumerate(items):
                fields = scope.fields | {index_field: index, value_field: item}
                results.append(parse_result(evaluated(part, replace(scope, fields=fields), ran)))
            return written(results)
        case Invoke():
            ran.append(rendered(node, scope))
            return ran[-1]
        case _:
            raise TypeError(node)


@dataclass
class Row:
    step: PlannedStep
    remaining: int
    result: str | None


class Board:
    """The step rows of one invocation."""

    def __init__(self, root: Node) -> None:
        self.graph = Graph(root, DATA, select)
        self.rows: dict[str, Row] = {}
        self.ran: list[str] = []
        self.totals: list[tuple[int, int]] = []
        plan = self.graph.start()
        self.result = plan.result
        self._store(plan)

    def open(self) -> list[str]:
        return [p for p, row in self.rows.items() if row.step.kind == "leaf" and row.result is None]

    def run(self, path: str) -> None:
        row = self.rows[path]
        node, queue = self.graph.find(path)
        assert isinstance(node, Invoke)
        assert row.step.queue == queue
        result = rendered(node, row.step.scope)
        self.ran.append(result)
        row.result = result
        while path:
            above, child = path.rpartition("/")[0], path
            parent = self.rows[above]
            if parent.step.kind == "chain":
                plan = self.graph.follow(above, child, parent.step.scope, result)
                if plan.result is None:
                    parent.remaining = plan.to_come
                    self._store(plan)
                    return
                result = plan.result
            else:
                parent.remaining -= 1
                if parent.remaining:
                    self._note()
                    return
                depth = above.count("/") + 1
                results = {
                    p: r.result
                    for p, r in self.rows.items()
                    if p.startswith(f"{above}/") and p.count("/") == depth
                }
                result = self.graph.assemble(above, results)  # type: ignore[arg-type]
            parent.result = result
            path = above
        self.result = result

    def _store(self, plan: StepPlan) -> None:
        for step in plan.steps:
            assert step.path not in self.rows
            assert not step.path or step.path.rpartition("/")[0] in self.rows
            self.rows[step.path] = Row(step, step.remaining, step.result)
        self._note()

    def _note(self) -> None:
        """What the status statement counts."""
        rows = self.rows.values()
        steps = [row for row in rows if row.step.kind == "leaf"]
        chains = [row for row in rows if row.step.kind == "chain"]
        total = len(steps) + sum(row.remaining for row in chains)
        done = sum(row.result is not None for row in steps)
        done += sum(row.remaining for row in chains if row.result is not None)
        self.totals.append((done, total))


@given(trees, st.randoms(use_true_random=False))
def test_any_order_gives_what_a_plain_evaluation_gives(root: Node, order: random.Random) -> None:
    ran: list[str] = []
    expected = evaluated(root, StepScope(), ran)
    board = Board(root)
    while waiting := board.open():
        assert board.result is None
        board.run(order.choice(waiting))
    assert board.result is not None
    assert parse_result(board.result) == parse_result(str(expected))
    assert sorted(board.ran) == sorted(ran)
    if board.ran:
        _check_totals(board, leaves(root))


def _check_totals(board: Board, least: int) -> None:
    for (done, total), (done_then, total_then) in pairwise(board.totals):
        assert done <= done_then
        assert total <= total_then
        assert done < total
    assert board.totals[0][1] >= least
    steps = [row for row in board.rows.values() if row.step.kind == "leaf"]
    assert all(row.result is not None for row in steps)

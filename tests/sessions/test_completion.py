"""Completing steps against a straightforward evaluation: same result, each leaf once, right totals.

Leaves finish in any order, some of them in the same moment; the rows are kept in memory.
"""

import asyncio
import json
import random
from dataclasses import replace
from itertools import pairwise
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from app.flows.graph import Graph, leaves
from app.flows.scope import StepScope, parse_result
from app.flows.template import Chain, Invoke, Map, Node, Parallel, Queue
from app.invokers.invoker import Answer, Finish
from app.sessions.steps.completion import InvocationContinues, InvocationEnds, StepCompletion
from app.sessions.store.claim import Claim
from app.sessions.turn.planning import new_steps
from tests.support.step_rows import StepRowsInMemory

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


def finish_of(result: str) -> Finish:
    """Why the answer of a leaf ended: those whose template says `y` are cut."""
    return Finish.LENGTH if "y" in json.loads(result)["text"] else Finish.COMPLETE


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


class Invocation:
    """One invocation, run to its end by a worker that serves the default queue and `q1`."""

    def __init__(self, root: Node, order: random.Random) -> None:
        self.graph = Graph(root, DATA, select)
        self.rows = StepRowsInMemory()
        self.order = order
        self.ran: list[str] = []
        self.totals: list[tuple[int, int]] = []
        self._completion = StepCompletion(self.rows, {"default", "q1"}, lease=1.0, max_attempts=4)

    async def run(self) -> Answer:
        """Run steps in any order, and give the invocation's result."""
        self.rows.add(new_steps(self.graph, self.graph.start(), "inv", {}, 4))
        running: list[Claim] = []
        while True:
            self.totals.append(self.rows.progress())
            queued = self.rows.queued()
            taken = self._some(queued) if running else self._some(queued) or queued[:1]
            running += [self.rows.claim_one(step_id) for step_id in taken]
            ending = self._some(running) or running[:1]
            running = [claim for claim in running if claim not in ending]
            outcomes = await asyncio.gather(*(self._finish(claim) for claim in ending))
            for outcome in outcomes:
                if isinstance(outcome, InvocationEnds):
                    assert not running
                    assert not self.rows.queued()
                    return outcome.result
                assert isinstance(outcome, InvocationContinues)
                if outcome.claimed is not None:
                    running.append(outcome.claimed)

    async def _finish(self, claim: Claim) -> Any:
        if claim.result is not None:
            return InvocationEnds(Answer(claim.result))
        node, queue = self.graph.find(claim.path)
        assert isinstance(node, Invoke)
        assert self.rows.rows[claim.step_id].step.planned.queue == queue
        result = rendered(node, claim.scope)
        self.ran.append(result)
        answer = Answer(result, finish_of(result))
        return await self._completion.finish(claim, answer, self._graph)

    async def _graph(self) -> Graph:
        return self.graph

    def _some(self, items: list[Any]) -> list[Any]:
        return self.order.sample(items, self.order.randint(0, len(items)))


@given(trees, st.integers(0, 2**32))
def test_any_order_gives_what_a_plain_evaluation_gives(root: Node, seed: int) -> None:
    ran: list[str] = []
    expected = evaluated(root, StepScope(), ran)
    invocation = Invocation(root, random.Random(seed))  # noqa: S311 - an order, no secret
    result = asyncio.run(invocation.run())
    assert parse_result(result.text) == parse_result(str(expected))
    assert (result.finish is Finish.LENGTH) is any(finish_of(one) is Finish.LENGTH for one in ran)
    assert sorted(invocation.ran) == sorted(ran)
    if invocation.ran:
        _check_totals(invocation.totals, leaves(root))


def _check_totals(totals: list[tuple[int, int]], least: int) -> None:
    for (done, total), (done_then, total_then) in pairwise(totals):
        assert done <= done_then
        assert total <= total_then
    assert all(done < total for done, total in totals)
    assert totals[0][1] >= least

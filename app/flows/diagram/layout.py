"""Lays out a directed graph in layers from top to bottom, so that no edge runs over a node.

The way of Sugiyama: edges that close a cycle are turned round, nodes get layers, an edge gets a
bend in each rank that it crosses (one of them is as wide as its label), ranks are ordered so that
few edges cross, and at last boxes are moved to where their edges are straight.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from app.flows.diagram.ranks import Box, order_ranks, place_ranks

MAX_BENDS = 800  # of all edges together; what goes beyond is not routed
RANK_GAP = 22.0

Point = tuple[float, float]


@dataclass(eq=False, slots=True)
class Edge:
    """An edge between two nodes, given by their indexes.

    Attributes:
        width: of its label; it stands to the right of the line, beside the box `label`.
        points: filled in. Curves and straight lines in turn, a curve first.
    """

    source: int
    target: int
    width: float
    height: float
    label: Box = field(default_factory=Box)
    points: list[Point] = field(default_factory=list)


class Layout:
    """A layout in two steps, for edges that are not routed may make their nodes larger.

    Args:
        count: of the nodes. The first one is where reading starts.
        edges: of nodes by index; those from a node to itself are left alone.
    """

    def __init__(self, count: int, edges: list[Edge]) -> None:
        self._layers, self._upward = _layers(count, edges)
        self.routed = _short_enough(edges, self._layers)

    def place(self, nodes: list[Box]) -> tuple[float, float]:
        """Sets the places of nodes, and of the routed edges and their labels.

        Returns:
            Width and height of it all, which starts at (0, 0).
        """
        ranks: list[list[Box]] = [[] for _ in range(2 * max(self._layers, default=0) + 1)]
        for node, layer in zip(nodes, self._layers, strict=True):
            ranks[2 * layer].append(node)
        routes = [(edge, _bend(edge, nodes, ranks, self._layers)) for edge in self.routed]
        order_ranks(ranks)
        width = place_ranks(ranks)
        height = _stack(ranks)
        ports = {id(node): _ports(node) for node in nodes}
        for edge, route in routes:
            edge.points = _points(route, ports)
            if (edge.source, edge.target) in self._upward:
                edge.points.reverse()
        return width, height


def _layers(count: int, edges: list[Edge]) -> tuple[list[int], set[tuple[int, int]]]:
    """The layer of each node, and the edges that go up."""
    follows: list[list[int]] = [[] for _ in range(count)]
    for edge in edges:
        if edge.source != edge.target:
            follows[edge.source].append(edge.target)
    order, upward = _walk(follows)
    layers = [0] * count
    down = [[b for b in follows[a] if (a, b) not in upward] for a in range(count)]
    for below, above in upward:
        down[above].append(below)
    for a in order:
        for b in down[a]:
            layers[b] = max(layers[b], layers[a] + 1)
    return layers, upward


def _walk(follows: list[list[int]]) -> tuple[list[int], set[tuple[int, int]]]:
    """Walks depth first: an order in which all edges go forward but those that close a cycle."""
    done: list[int] = []
    upward: set[tuple[int, int]] = set()
    seen: set[int] = set()
    for root in range(len(follows)):
        if root in seen:
            continue
        seen.add(root)
        open_: dict[int, Iterator[int]] = {root: iter(follows[root])}
        while open_:
            a, following = next(reversed(open_.items()))
            b = next(following, None)
            if b is None:
                done.append(a)
                del open_[a]
            elif b in open_:
                upward.add((a, b))
            elif b not in seen:
                seen.add(b)
                open_[b] = iter(follows[b])
    return done[::-1], upward


def _short_enough(edges: list[Edge], layers: list[int]) -> list[Edge]:
    """The edges to route: the shortest, as many as may be."""

    def span(edge: Edge) -> int:
        return abs(layers[edge.source] - layers[edge.target])

    chosen, bends = [], 0
    for edge in sorted((e for e in edges if e.source != e.target), key=span):
        bends += 2 * span(edge) - 1
        if bends > MAX_BENDS:
            break
        chosen.append(edge)
    return chosen


def _bend(edge: Edge, nodes: list[Box], ranks: list[list[Box]], layers: list[int]) -> list[Box]:
    """The boxes from the edge's upper node to its lower one, with the new bends between."""
    top, bottom = sorted((edge.source, edge.target), key=layers.__getitem__)
    first, last = 2 * layers[top] + 1, 2 * layers[bottom]
    middle = (first + last) // 2 | 1  # labels have ranks of their own, between those of nodes
    route = [nodes[top]]
    for rank in range(first, last):
        bend = Box(left=6, right=6, bend=True)
        if rank == middle:
            bend.right, bend.height, edge.label = edge.width + 12, edge.height, bend
        ranks[rank].append(bend)
        route.append(bend)
    route.append(nodes[bottom])
    for above, below in pairwise(route):
        above.below.append(below)
        below.above.append(above)
    return route


def _stack(ranks: list[list[Box]]) -> float:
    """Sets the heights at which boxes are; those of a rank share their middle."""
    y = 0.0
    for rank in ranks:
        height = max((box.height for box in rank), default=0.0)
        for box in rank:
            box.y = y + height / 2
            if box.bend:  # an edge is straight across the whole rank
                box.height = height
        y += height + RANK_GAP
    return y - RANK_GAP


def _ports(node: Box) -> dict[int, float]:
    """Where on a node's border its edges end, by the box that they come from."""
    places: dict[int, float] = {}
    for side in (node.above, node.below):
        step = 1.3 * node.left / (len(side) + 1)
        for i, box in enumerate(sorted(side, key=lambda box: box.x)):
            places[id(box)] = node.x + step * (i - (len(side) - 1) / 2)
    return places


def _points(route: list[Box], ports: dict[int, dict[int, float]]) -> list[Point]:
    top, *bends, bottom = route
    points = [(ports[id(top)][id(bends[0])], top.y + top.height / 2)]
    for bend in bends:
        points += [(bend.x, bend.y - bend.height / 2), (bend.x, bend.y + bend.height / 2)]
    return [*points, (ports[id(bottom)][id(bends[-1])], bottom.y - bottom.height / 2)]

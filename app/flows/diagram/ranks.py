"""Ranks of boxes: put them in an order in which few edges cross, and give each box its place."""

from bisect import bisect_right, insort
from dataclasses import dataclass, field

GAP = 18.0
_ORDERINGS = 8
_PLACINGS = 20


@dataclass(eq=False, slots=True)
class Box:
    """What needs room: a node, or a bend of an edge.

    Attributes:
        left, right: how far it reaches from `x`.
        x, y: of the middle of the node, or of the line; filled in.
        bend: whether an edge passes here.
        above, below: the boxes in the ranks next to its own that edges join it with.
    """

    left: float = 0.0
    right: float = 0.0
    height: float = 0.0
    bend: bool = False
    x: float = 0.0
    y: float = 0.0
    above: list["Box"] = field(default_factory=list)
    below: list["Box"] = field(default_factory=list)


def order_ranks(ranks: list[list[Box]]) -> None:
    """Sorts each rank by where its neighbours are, back and forth, and keeps the best order."""
    best = [list(rank) for rank in ranks]
    fewest = _crossings(ranks)
    for turn in range(_ORDERINGS):
        downward = turn % 2 == 0
        for rank in ranks[1:] if downward else ranks[-2::-1]:
            _order(rank, downward=downward)
        crossings = _crossings(ranks)
        if crossings < fewest:
            best, fewest = [list(rank) for rank in ranks], crossings
    ranks[:] = best


def _order(rank: list[Box], *, downward: bool) -> None:
    """Sorts a rank; `x` holds the index of a box in its rank meanwhile."""
    for box in rank:
        near = box.above if downward else box.below
        if near:
            box.x = sum(other.x for other in near) / len(near)
    rank.sort(key=lambda box: box.x)
    _number(rank)


def _number(rank: list[Box]) -> None:
    for i, box in enumerate(rank):
        box.x = float(i)


def _crossings(ranks: list[list[Box]]) -> int:
    for rank in ranks:
        _number(rank)
    count = 0
    for rank in ranks:
        ends: list[float] = []
        for box in rank:
            below = [other.x for other in box.below]
            count += sum(len(ends) - bisect_right(ends, x) for x in below)
            for x in below:
                insort(ends, x)
    return count


def place_ranks(ranks: list[list[Box]]) -> float:
    """Sets `x` of all boxes, without changing their order; what is leftmost starts at 0.

    Returns:
        The width of it all.
    """
    for rank in ranks:
        _spread(rank, [(0.0, 1.0)] * len(rank))
    for turn in range(_PLACINGS):
        settled = turn >= _PLACINGS - 4
        for rank in ranks if turn % 2 == 0 else reversed(ranks):
            upper, lower = settled or turn % 2 == 0, settled or turn % 2 == 1
            _spread(rank, [_wish(box, upper=upper, lower=lower) for box in rank])
    boxes = [box for rank in ranks for box in rank]
    left = min((box.x - box.left for box in boxes), default=0.0)
    for box in boxes:
        box.x -= left
    return max((box.x + box.right for box in boxes), default=0.0)


def _wish(box: Box, *, upper: bool, lower: bool) -> tuple[float, float]:
    """Where a box should be for its edges to be straight, and how much that matters."""
    near = [*(box.above if upper else ()), *(box.below if lower else ())]
    # Long edges are the first to be straight.
    weights = [8.0 if box.bend and other.bend else 1.0 for other in near]
    total = sum(weights)
    if not total:
        return box.x, 0.1
    return sum(w * other.x for w, other in zip(weights, near, strict=True)) / total, total


def _spread(rank: list[Box], wishes: list[tuple[float, float]]) -> None:
    """Places the boxes of a rank as near to the wished places as is possible without overlap.

    Less the room that those before it need, places only have to ascend: what remains is isotonic
    regression, solved by pooling neighbours that are in the wrong order.
    """
    room, needed = [], 0.0
    for i, box in enumerate(rank):
        needed += box.left + (rank[i - 1].right + GAP if i else 0.0)
        room.append(needed)
    pools: list[tuple[float, float, int]] = []  # (place, weight, boxes)
    for (place, weight), before in zip(wishes, room, strict=True):
        pool = (place - before, weight, 1)
        while pools and pools[-1][0] > pool[0]:
            at, heavy, size = pools.pop()
            both = heavy + pool[1]
            pool = ((at * heavy + pool[0] * pool[1]) / both, both, size + pool[2])
        pools.append(pool)
    places = [place for place, _, size in pools for _ in range(size)]
    for box, place, before in zip(rank, places, room, strict=True):
        box.x = place + before

"""Draws a state diagram as SVG: boxes for states, curves for transitions, a legend."""

from dataclasses import dataclass, field
from itertools import pairwise
from unicodedata import east_asian_width
from xml.etree import ElementTree

from app.flows.diagram.layout import Edge, Layout, Point
from app.flows.diagram.ranks import Box

_MARGIN = 24.0
_TOP = 64.0  # the title, and the dot that leads to where it starts
_LINE = 15.0
_NODE_HEIGHT = 46.0
_MAX_LINES = 5
_LOOP = 40.0
_STYLE = """
text { font-family: system-ui, "DejaVu Sans", sans-serif; font-size: 12px; fill: #334155 }
.title { font-size: 15px; font-weight: 600; fill: #0f172a }
.name { font-size: 13px; font-weight: 600; fill: #0f172a; text-anchor: middle }
.id { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 11px; fill: #64748b;
  text-anchor: middle }
.listed { text-anchor: middle }
rect { fill: #ffffff; stroke: #475569; stroke-width: 1.5 }
.paper { stroke: none }
.invokes rect { fill: #ede9fe; stroke: #6d28d9 }
.asks rect { fill: #dcfce7; stroke: #15803d }
.compound rect { stroke-dasharray: 5 4 }
.current rect { fill: #fde68a; stroke: #b45309; stroke-width: 3 }
.final .inner { fill: none; stroke-width: 1 }
path { fill: none; stroke: #64748b; stroke-width: 1.5 }
.dashed { stroke-dasharray: 5 4 }
.tip { fill: #64748b; stroke: none }
.dot { fill: #0f172a }
"""
_LEGEND = [
    ("", "waits for an event"),
    ("invokes", "an invocation runs"),
    ("asks", "a person may be asked"),
    ("compound", "has states inside"),
    ("final", "final"),
    ("current", "the session is here"),
]


@dataclass(slots=True)
class _State:
    name: str
    id: str
    classes: list[str]
    initial: bool
    box: Box
    height: float = _NODE_HEIGHT
    loop: list[str] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)

    def list(self, line: str) -> None:
        """Writes a line into its rectangle, which grows."""
        if len(self.listed) == _MAX_LINES:
            self.listed[-1] = "…"
            return
        self.listed.append(line)
        self.height += _LINE
        self.box.height = max(self.box.height, self.height)
        more = max(_width(line) / 2 + 14 - self.box.left, 0)
        self.box.left += more
        self.box.right += more


@dataclass(slots=True)
class _Transition:
    edge: Edge
    lines: list[str]
    dashed: bool


class Drawing:
    """A picture that is put together state by state, then edge by edge.

    Args:
        title: stands above it.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._states: list[_State] = []
        self._transitions: list[_Transition] = []

    def add_state(
        self,
        name: str,
        id_: str,
        *,
        initial: bool,
        final: bool,
        compound: bool,
        invokes: bool,
        asks: bool,
        current: bool,
    ) -> int:
        """Adds a state; its index is what edges name it by. The first one is drawn on top."""
        kinds = {"final": final, "compound": compound, "invokes": invokes}
        kinds |= {"asks": asks, "current": current}
        half = max(_width(name, 8.2), _width(id_, 7.0), 70.0) / 2 + 14
        box = Box(left=half, right=half, height=_NODE_HEIGHT)
        classes = [kind for kind, holds in kinds.items() if holds]
        self._states.append(_State(name, id_, classes, initial, box))
        return len(self._states) - 1

    def add_edge(self, source: int, target: int, lines: list[str], *, dashed: bool) -> None:
        """Adds an edge with its label, line by line."""
        if len(lines) > _MAX_LINES:
            lines = [*lines[: _MAX_LINES - 1], f"and {len(lines) - _MAX_LINES + 1} more"]
        width = max((_width(line) for line in lines), default=0.0)
        if source == target:
            state = self._states[source]
            state.loop = lines
            state.box.right += _LOOP + width
            state.box.height = max(state.box.height, _LINE * len(lines))
            return
        edge = Edge(source, target, width, _LINE * len(lines))
        self._transitions.append(_Transition(edge, lines, dashed))

    def svg(self) -> str:
        """The picture."""
        layout = Layout(len(self._states), [transition.edge for transition in self._transitions])
        self._list_all_but(layout.routed)
        width, height = layout.place([state.box for state in self._states])
        legend = sum(_legend_width(text) for _, text in _LEGEND)
        page = _Page(
            max(width, legend, _width(self._title, 9.0)) + 2 * _MARGIN,
            height + _TOP + 3 * _MARGIN,
            self._title,
        )
        page.legend()
        shift = max(legend - width, 0) / 2
        page.body.set("transform", f"translate({_MARGIN + shift:g} {_TOP:g})")
        for transition in self._transitions:
            page.edge(transition)
        for state in self._states:
            page.state(state)
        return page.text()

    def _list_all_but(self, routed: list[Edge]) -> None:
        """Edges that would run too far become words in the state that they leave."""
        drawn = {id(edge) for edge in routed}
        for transition in self._transitions:
            edge = transition.edge
            if id(edge) not in drawn:
                target = self._states[edge.target]
                self._states[edge.source].list(f"{', '.join(transition.lines)} → {target.id}")


class _Page:
    """The SVG document. Text and attributes are escaped by the library that writes it."""

    def __init__(self, width: float, height: float, title: str) -> None:
        self.root = ElementTree.Element(
            "svg",
            xmlns="http://www.w3.org/2000/svg",
            role="img",
            width=f"{width:.0f}",
            height=f"{height:.0f}",
            viewBox=f"0 0 {width:.0f} {height:.0f}",
        )
        self._height = height
        _add(self.root, "title", title)
        _add(self.root, "style", _STYLE)
        definitions = _add(self.root, "defs")
        tip = {"markerWidth": "9", "markerHeight": "8", "refX": "8", "refY": "4"}
        marker = _add(definitions, "marker", id="tip", orient="auto", **tip)
        marker.set("markerUnits", "userSpaceOnUse")
        _add(marker, "path", d="M0 0L9 4L0 8Z", **{"class": "tip"})
        _add(self.root, "rect", width="100%", height="100%", **{"class": "paper"})
        _write(self.root, title, _MARGIN, 26, "title")
        self.body = _add(self.root, "g")

    def text(self) -> str:
        return ElementTree.tostring(self.root, encoding="unicode")

    def legend(self) -> None:
        x, y = _MARGIN, self._height - _MARGIN
        for kind, text in _LEGEND:
            group = _add(self.root, "g", **{"class": kind})
            _rectangle(group, x, y - 11, 20, 13, inset=2.5 if kind == "final" else 0)
            _write(self.root, text, x + 26, y)
            x += _legend_width(text)

    def state(self, state: _State) -> None:
        box, top = state.box, state.box.y - state.height / 2
        group = _add(self.body, "g", **{"class": " ".join(["state", *state.classes])})
        inset = 3.5 if "final" in state.classes else 0
        _rectangle(group, box.x - box.left, top, 2 * box.left, state.height, inset=inset)
        _write(group, state.name, box.x, top + 20, "name")
        _write(group, state.id, box.x, top + 36, "id")
        for i, line in enumerate(state.listed):
            _write(group, line, box.x, top + 38 + _LINE * (i + 1), "listed")
        if state.initial:
            _add(group, "circle", cx=_n(box.x), cy=_n(top - 20), r="5", **{"class": "dot"})
            self._path(f"M{_n(box.x)} {_n(top - 15)}V{_n(top)}")
        if state.loop:
            self._loop(state)

    def edge(self, transition: _Transition) -> None:
        edge = transition.edge
        if edge.points:
            self._path(_curve(edge.points), dashed=transition.dashed)
            self._label(transition.lines, edge.label.x + 8, edge.label.y)

    def _loop(self, state: _State) -> None:
        x, y = state.box.x + state.box.left, state.box.y
        self._path(f"M{_n(x)} {_n(y - 10)}c34 -14 34 34 0 20")
        self._label(state.loop, x + 32, y)

    def _label(self, lines: list[str], x: float, y: float) -> None:
        first = y - _LINE * (len(lines) - 1) / 2 + 4
        for i, line in enumerate(lines):
            _write(self.body, line, x, first + _LINE * i)

    def _path(self, d: str, *, dashed: bool = False) -> None:
        path = _add(self.body, "path", d=d, **{"marker-end": "url(#tip)"})
        if dashed:
            path.set("class", "dashed")


def _curve(points: list[Point]) -> str:
    """Curves that leave and arrive upright, with straight lines between them."""
    parts = [f"M{_n(points[0][0])} {_n(points[0][1])}"]
    for i, ((x, y), (to_x, to_y)) in enumerate(pairwise(points)):
        middle = _n((y + to_y) / 2)
        curve = f"C{_n(x)} {middle} {_n(to_x)} {middle} {_n(to_x)} {_n(to_y)}"
        parts.append(f"L{_n(to_x)} {_n(to_y)}" if i % 2 else curve)
    return "".join(parts)


def _rectangle(
    group: ElementTree.Element, x: float, y: float, width: float, height: float, *, inset: float
) -> None:
    for by in [0, inset] if inset else [0]:
        rectangle = _add(group, "rect", x=_n(x + by), y=_n(y + by), rx=_n(min(8, height / 3)))
        rectangle.set("width", _n(width - 2 * by))
        rectangle.set("height", _n(height - 2 * by))
        if by:
            rectangle.set("class", "inner")


def _write(group: ElementTree.Element, text: str, x: float, y: float, kind: str = "") -> None:
    _add(group, "text", text, x=_n(x), y=_n(y), **({"class": kind} if kind else {}))


def _add(
    parent: ElementTree.Element, tag: str, text: str = "", **attributes: str
) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, tag, attributes)
    element.text = text or None
    return element


def _n(number: float) -> str:
    return f"{number:.1f}"


def _width(text: str, each: float = 7.0) -> float:
    """The width of a text, about; what East Asian scripts write takes two places."""
    return each * sum(2 if east_asian_width(c) in "WF" else 1 for c in text)


def _legend_width(text: str) -> float:
    return _width(text) + 48

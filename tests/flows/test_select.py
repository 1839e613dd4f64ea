"""JMESPaths of manifests and clients: right, and never at the service's expense."""

import time
from typing import Any

import pytest
from jmespath.exceptions import JMESPathError

from app.errors import ConflictError
from app.flows.graph import Graph
from app.flows.select import PathError, Selection, select
from app.flows.template import Invoke, Map

DATA = {"rows": [{"x": i, "t": "y" * 100} for i in range(1000)], "text": "z" * 100_000}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("rows[0].x", 0),
        ("rows[?x > `997`].x", [998, 999]),
        ("[rows[0].x, rows[1].x]", [0, 1]),
        ("{a: rows[0].x}", {"a": 0}),
        ("join('-', ['a', 'b'])", "a-b"),
        ("length(rows)", 1000),
        ("sort_by(rows, &x)[-1].x", 999),
        ("missing.of.all", None),
    ],
)
def test_a_path_selects_what_it_names(path: str, found: Any) -> None:
    assert select(path, DATA) == found


@pytest.mark.parametrize(
    "path",
    [
        "rows[",
        "",
        "unknown(@)",
        "length(missing)",
        "[" * 500,
        "|".join(["[@,@][]"] * 100),
        "|".join(["[@,@]"] * 100) + "|to_string(@)",
        "|".join(["[@,@]"] * 100),
        "|".join(["{a: @, b: @}"] * 60),
        "text | " + "|".join(["join('', [@, @])"] * 60),
        "join(text, rows[*].t)",
        "rows[*].[" + ",".join(["@"] * 400) + "]",
        "|".join(["map(&[@, @][], rows)"] * 30),
        "rows[" + "?x" * 300,
    ],
)
def test_a_path_that_is_none_is_refused_in_time(path: str) -> None:
    start = time.thread_time()
    with pytest.raises(PathError) as caught:
        select(path, DATA)
    assert time.thread_time() - start < 2
    assert isinstance(caught.value, ConflictError)
    assert isinstance(caught.value, JMESPathError)


def test_the_paths_of_one_plan_have_their_time_together() -> None:
    """A map inside a map evaluates its path for each of the outer items."""
    inner = Map("rows[?contains(t, 'z') || contains(t, 'q')]", Invoke("x", "verbatim"))
    graph = Graph(Map("rows", inner), DATA, Selection(0.1))
    began = time.thread_time()
    with pytest.raises(PathError, match="takes too long"):
        graph.start()
    assert time.thread_time() - began < 1


@pytest.mark.parametrize(
    "path",
    [
        "&x",
        "[&x]",
        "{a: &x}",
        "to_array(&x)",
        '`"\\ud800"`',
        '`"\\u0000"`',
        f"`{'9' * 30}`",
        f"`[{'9' * 30}]`",
        "to_number('nan')",
        "to_number('1e400')",
        "[to_number('inf')]",
        "sum(`[1e308, 1e308]`)",
        "map(&to_number(@), ['nan'])",
        f"to_number('{'9' * 30}')",
    ],
)
def test_what_is_no_json_is_not_made(path: str) -> None:
    with pytest.raises(PathError):
        select(path, DATA)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("abs(secret)", "abs() takes no value of the type string"),
        ("abs(@, @)", "abs() takes 1 argument(s)"),
        ("nothing(secret)", "it calls a function that there is not"),
        ("secret[", "it cannot be read from column 8 on"),
    ],
)
def test_what_fails_is_told_without_the_data(path: str, reason: str) -> None:
    """The library's own text of a wrong type quotes the value."""
    with pytest.raises(PathError) as caught:
        select(path, {"secret": "hunter2"})
    assert caught.value.detail == f"The JMESPath {path!r} failed: {reason}"

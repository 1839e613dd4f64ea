"""Shapes of statements that the server runs well only while it knows its tables."""

import re
from collections.abc import Iterator
from pathlib import Path

import app


def subqueries(text: str) -> Iterator[str]:
    """What stands in the brackets of each `IN (SELECT …)`."""
    for start in re.finditer(r"\bIN\s*\((?=\s*SELECT\b)", text):
        depth, end = 1, start.end()
        while depth and end < len(text):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        yield text[start.end() : end]


def test_no_statement_chooses_rows_in_a_limited_subquery() -> None:
    """While the server has a table for empty, it runs one anew for each row, its locks included.

    `= ANY(ARRAY(…))` and a CTE with locks are run once.
    """
    modules = list(Path(app.__file__).parent.rglob("*.py"))
    found = [
        (str(path), subquery)
        for path in modules
        for subquery in subqueries(path.read_text())
        if re.search(r"\bLIMIT\b", subquery)
    ]
    assert len(modules) > 300
    assert found == []

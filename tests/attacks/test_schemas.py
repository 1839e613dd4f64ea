"""What a tenant's schema has a validator do is bounded: in time, and in what its faults quote.

A validator holds the interpreter while it works: no thread would help.
"""

import time
from typing import Any

import pytest

from app.kit.invalid import InvalidValueError
from app.kit.schemas.json_schema import check_schema, schema_faults

# A state for each of its 8,000 ways, and none of them can be left out: 170 µs a character.
_SLOW = "(a|b|ab|ba|aab|bba){2032}x"


def items(part: dict[str, Any]) -> dict[str, Any]:
    return {"properties": {"a": {"type": "array", "items": part}}}


# Each took from 15 s to minutes, some with gigabytes, but where it says otherwise.
COSTLY: dict[str, tuple[dict[str, Any], Any]] = {
    "a slow pattern": ({"properties": {"a": {"pattern": _SLOW}}}, {"a": "ab" * 128_000}),
    "many patterns": (
        items({"allOf": [{"pattern": f"(a|b|c|d|ab){{0,{n % 50}}}$"} for n in range(500)]}),
        {"a": ["abcd" * 20] * 3_000},
    ),
    "patterns of keys": (
        {"patternProperties": {f"(a|b|ab|ba|aab|bba){{180}}x{n}": {} for n in range(50)}},
        {"ab" * 100 + str(n): 1 for n in range(2_000)},
    ),
    "a long enum in each fault": (items({"enum": [*range(9_000)]}), {"a": [-1] * 20_000}),
    "many that are required": (
        items({"required": [f"x{n}" for n in range(6_000)]}),
        {"a": [{}] * 20_000},
    ),
    "a whole value in each fault": (
        {"anyOf": [{"properties": {"a": {"const": n}}} for n in range(2_000)]},
        {"a": "x" * 256_000},  # a second, and one gigabyte
    ),
    "long division": (
        items({"allOf": [{"multipleOf": 1e-300}] * 900}),
        {"a": [1e300] * 9_000},
    ),
    "alternatives of which none fits": (
        items({"oneOf": [{"const": n} for n in range(4_000)]}),
        {"a": [-1] * 2_000},
    ),
}


@pytest.mark.parametrize("case", COSTLY)
def test_a_check_has_a_bound(case: str) -> None:
    schema, value = COSTLY[case]
    check_schema(schema)
    began = time.thread_time()
    faults = schema_faults(schema, value)
    seconds = time.thread_time() - began
    assert len(faults) == 1
    assert "too large" in faults[0]
    assert seconds < 1


def test_patterns_of_a_schema_are_bounded_together() -> None:
    many = {f"a{n}": {"pattern": f"(a|b|ab|ba|aab|bba){{2000}}{n}"} for n in range(10)}
    with pytest.raises(InvalidValueError, match="its patterns are too many, or too large"):
        check_schema({"properties": many})
    with pytest.raises(InvalidValueError, match="no regular expression"):
        check_schema({"properties": {"a": {"pattern": "(?=a)"}}})


def test_what_is_usual_is_checked_and_told() -> None:
    schema: dict[str, Any] = {
        "properties": {
            "id": {"type": "string", "pattern": "^[a-z0-9_-]{1,64}$"},
            "name": {"type": "string", "pattern": "^.{1,200}$"},
            "kind": {"enum": ["x", "y"]},
            "price": {"multipleOf": 0.01},
            "text": {"type": "string"},
        },
        "required": ["id", "text"],
        "additionalProperties": False,
    }
    check_schema(schema)
    text = "long " * 40_000
    fits = {"id": "a-1", "name": "n" * 200, "kind": "x", "price": 1.25, "text": text}
    assert schema_faults(schema, fits) == []
    wrong = fits | {"id": "A", "kind": "z", "price": 0.001, "more": 1}
    assert len(schema_faults(schema, wrong)) == 4
    assert schema_faults(schema, {"id": "A", "text": ""}) == [
        '[\'id\']: "A" does not match "^[a-z0-9_-]{1,64}$"'
    ]
    rows = [{"id": f"row-{n}", "price": n / 4} for n in range(1_000)]
    assert schema_faults(items(schema | {"required": []}), {"a": rows}) == []

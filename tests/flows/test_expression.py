"""Expressions of manifests: what they compute, what is refused, and that they always end."""

import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.flows.manifest.expression import (
    EvaluationError,
    ExpressionError,
    compile_expression,
    member,
)

DATA: dict[str, Any] = {
    "age": 36,
    "name": "Ada",
    "nothing": None,
    "items": [{"id": 1}, {"id": 2}],
    "data": {"name": "Ada", "deep": {"list": [1, 2]}, "with space": 1, "upper": "mine"},
    "big": "x" * 200_000,
}


class Values:
    def read(self, name: str) -> Any:
        return DATA[name]

    def tick(self) -> None:
        pass


def evaluate(text: str) -> Any:
    return compile_expression(text, DATA.keys())(Values())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("age + 1", 37),
        ("data.name", "Ada"),
        ("data['name']", "Ada"),
        ("data['with space']", 1),
        ("data.deep.list[1]", 2),
        ("data.deep.list[-1]", 2),
        ("items[0].id", 1),
        # What is missing is null, at any depth and of anything.
        ("data.missing", None),
        ("data.missing.of['all'].this[3]", None),
        ("items[7].id", None),
        ("nothing.name", None),
        ("age.real", None),
        ("age['x']", None),
        # No method is ever reached, of no type.
        ("name.upper", None),
        ("data.keys", None),
        ("items.append", None),
        ("'text'.format", None),
        # A member wins over nothing.
        ("data.upper", "mine"),
        ("data.name == 'Ada' and age > 18", True),
        ("not data.missing", True),
        ("data.missing == null", True),
        ("null != true", True),
        ("age == 36.0", True),
        ("18 < age <= 36", True),
        # Null is neither more nor less than anything.
        ("data.missing > 3", False),
        ("data.missing < 3", False),
        ("'A' in name", True),
        ("name in ['Ada', 'Bob']", True),
        ("name not in ['Bob']", True),
        ("'name' in data", True),
        ("1 in data.missing", False),
        ("name or 'nobody'", "Ada"),
        ("nothing or 'nobody'", "nobody"),
        ("{'who': name, 'ages': [age, (1, 2)]}", {"who": "Ada", "ages": [36, [1, 2]]}),
        ("-age // 5 ** 2 % 7", -36 // 25 % 7),
        # Functions; null is an empty text, list and object to them.
        ("length(name)", 3),
        ("length(items) + length(data)", 6),
        ("length(data.missing)", 0),
        ("lower(name)", "ada"),
        ("lower(nothing)", None),
        ("lower(name) in ['ada', 'bob']", True),
        ("matches(name, '^A[a-z]+$')", True),
        ("matches(name, 'd')", True),
        ("matches(name, '^d')", False),
        ("matches(lower(name), 'A')", False),
        ("matches(nothing, '.*')", False),
        (r"matches('4411 AB', '^\\d{4} ?[A-Z]{2}$')", True),
        ("'adult' if age >= 18 else 'minor'", "adult"),
        ("age / 0 if age < 18 else 'minor' if not age else name", "Ada"),
        ("age not in [1, 2]", True),
        ("'true'", "true"),
        ("  age  ", 36),
    ],
)
def test_an_expression_has_its_value(text: str, value: Any) -> None:
    assert evaluate(text) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must be an expression"),
        (None, "must be an expression"),
        (5, "must be an expression"),
        (["age"], "must be an expression"),
        ("age +", "not a valid expression"),
        ("age; age", "not a valid expression"),
        ("a" * 1001, "longer than 1000"),
        ("unknown", "'unknown' is not known here"),
        ("name.upper()", "nothing can be called"),
        ("open('/etc/passwd')", "nothing can be called"),
        ("In('state')", "nothing can be called"),
        ("__import__", "is not known here"),
        ("length", "'length' is not known here"),
        ("length()", "length takes 1 value"),
        ("length(name, age)", "length takes 1 value"),
        ("length(value=name)", "length takes 1 value"),
        ("length(*items)", "length takes 1 value"),
        ("matches(name)", "matches takes 2 value"),
        ("matches(name, name)", "literal text"),
        ("matches(name, 5)", "literal text"),
        ("matches(name, '(')", "no regular expression"),
        ("matches(name, '(?=a)')", "cannot look around"),
        (r"matches(name, '(a)\\1')", "refer back"),
        ("matches(name, '(a{1,200}){1,200}')", "too large"),
        ("matches(name, '" + "a" * 501 + "')", "longer than 500"),
        ("name.lower(name)", "nothing can be called"),
        ("length(name)(name)", "nothing can be called"),
        ("lambda: 1", "Lambda is not supported"),
        ("[x for x in items]", "ListComp is not supported"),
        ("{1, 2}", "Set is not supported"),
        ("f'{age}'", "JoinedStr is not supported"),
        ("(age := 3)", "NamedExpr is not supported"),
        ("items[1:]", "slices"),
        ("age is null", "compare with =="),
        ("age << 3", "the operators are"),
        ("~age", "~ is not supported"),
        ("{age: 1}", "literal texts"),
        ("{**data}", "literal texts"),
        ("b'x'", "literals are"),
        ("3j", "literals are"),
        ("...", "literals are"),
        (r"'\x00'", "NUL"),
        (r"'\ud800'", "half a character"),
        ("-" * 60 + "1", "levels deep"),
        ("not " * 100 + "age", "levels deep"),
        ("(" * 300 + "1" + ")" * 300, "not a valid expression"),
    ],
)
def test_what_is_no_expression_is_refused(text: object, reason: str) -> None:
    with pytest.raises(ExpressionError, match=reason.replace("(", r"\(")):
        compile_expression(text, DATA.keys())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("data.missing + 1", "null and a number do not go together"),
        ("name + 1", "a text and a number do not go together"),
        ("name > 3", "a text cannot be compared with a number"),
        ("3 in 'x'", "a number cannot be looked for in a text"),
        ("length(age)", "a number has no length"),
        ("length(true)", "a boolean has no length"),
        ("lower(items)", "a list has no lower case"),
        ("matches(age, '3')", "a number cannot be matched"),
        ("matches(big, 'x')", "10000 characters at most"),
        ("age / 0", "division by zero"),
        ("'x' * 10 ** 9", "too large"),
        ("[0] * 10 ** 9", "too large"),
        ("9 ** 9 ** 9", "too large"),
        ("big * 100", "too large"),
        ("big * 5 + big", "too large"),
        ("'%1000000000d' % 1", "not allowed"),
        ("2.0 ** 5000", "too large|out of range"),
    ],
)
def test_failing_at_run_time(text: str, reason: str) -> None:
    with pytest.raises(EvaluationError, match=reason) as caught:
        evaluate(text)
    assert caught.value.status == 409
    assert DATA["big"] not in caught.value.detail


def test_a_chain_of_comparisons_evaluates_each_part_once() -> None:
    text = "0 < 1"
    for _ in range(40):
        text = f"0 < ({text}) < 2"
    start = time.thread_time()
    assert evaluate(text) is True
    assert time.thread_time() - start < 0.1


@pytest.mark.parametrize("pattern", ["(x+x+)+y", "([xy]{0,90}x){8}[yz]", "(x?){60}y$"])
def test_a_pattern_takes_time_in_proportion_to_the_text(pattern: str) -> None:
    start = time.thread_time()
    assert evaluate(f"matches('{'xy' * 400}' * 12, '{pattern}')") in (True, False)
    assert time.thread_time() - start < 1


@given(st.text(max_size=40))
@settings(max_examples=settings().max_examples * 2)
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    with suppress(ExpressionError, EvaluationError):
        evaluate(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=8,
    ),
    st.text(max_size=3) | st.integers() | st.booleans() | st.none(),
)
def test_a_member_is_one_that_json_has_or_null(holder: Any, key: Any) -> None:
    found = member(holder, key)
    if isinstance(holder, dict):
        assert found is holder.get(key)
    elif isinstance(holder, list | str):
        assert found is None or found in holder
    else:
        assert found is None

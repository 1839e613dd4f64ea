"""The loader: texts, files and addresses; what is read is what was written."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BadRequestError, PayloadTooLargeError
from app.manifests.model.diff import compare
from app.manifests.text.address import load_url
from app.manifests.text.document import load_file, load_text
from app.manifests.text.yaml import read_yaml
from tests.support.http_server import HttpServer, Says

LOCAL = ["127.0.0.0/8"]

_texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=20)
_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(_texts, _values, max_size=4))
def test_json_is_yaml_and_means_the_same(document: dict[str, Any]) -> None:
    assert read_yaml(json.dumps(document, ensure_ascii=False)) == [document]


@given(_values, _values)
def test_no_difference_means_equal(before: Any, after: Any) -> None:
    assert (compare(before, after) == []) == (
        json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)
    )
    assert compare(before, before) == []


async def test_yaml_that_a_person_writes() -> None:
    text = "a: text\nb: [1, -2.5, true, null, ~]\nc: |\n  x\n  y\nd: 'on'\n# end\n---\ne: {f: g}\n"
    assert await load_text(text) == [
        {"a": "text", "b": [1, -2.5, True, None, None], "c": "x\ny\n", "d": "on"},
        {"e": {"f": "g"}},
    ]


async def test_json_in_all_its_forms() -> None:
    assert await load_text('\ufeff{"a": "\\ud83d\\ude00"}'.encode()) == [{"a": "😀"}]
    assert await load_text('[{"a": 1}, {"b": 2}]') == [{"a": 1}, {"b": 2}]
    assert await load_text("{a: 1}") == [{"a": 1}]


async def test_a_text_in_a_json_string_is_that_text() -> None:
    """Generated clients send what they know as a string so, where the body is to be JSON."""
    for text in ("kind: a\n---\nkind: b\n", '{"kind": "a"}', '"kind": a\n'):
        assert await load_text(json.dumps(text)) == await load_text(text)
    for text in ("kind: \0", json.dumps("kind: a"), "kind: \ud800", ""):
        with pytest.raises(BadRequestError):
            await load_text(json.dumps(text))


async def test_syntax_errors_say_where() -> None:
    with pytest.raises(BadRequestError) as caught:
        await load_text("a: 1\nb:\n  - x\n - y\n")
    assert "line 4, column 2" in caught.value.detail
    assert caught.value.errors[0]["loc"] == ["body", 4, 2]
    with pytest.raises(BadRequestError, match="line 2, column 7"):
        await load_text('{"a": 1,\n "b": x')


async def test_the_example_flows_mean_what_yaml_says() -> None:
    for file in (Path(__file__).parents[2] / "examples" / "flows").glob("*.yaml"):
        (document,) = await load_file(file)
        assert (
            document["spec"]["templates"] == yaml.safe_load(file.read_text())["spec"]["templates"]
        )


async def test_a_file_is_read_bounded_and_its_faults_are_told(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text("a: 1")
    assert await load_file(file) == [{"a": 1}]
    with pytest.raises(BadRequestError, match="cannot be read: No such file"):
        await load_file(tmp_path / "gone.yaml")
    file.write_text("#" * 300_000)
    with pytest.raises(PayloadTooLargeError):
        await load_file(file)


async def test_addresses() -> None:
    async with HttpServer() as server:
        server.script(Says("a: 1"), Says(status=302), Says("#" * 300_000))
        assert await load_url(f"{server.url}/m.yaml", LOCAL) == [{"a": 1}]
        with pytest.raises(BadRequestError, match="answered 302"):
            await load_url(server.url, LOCAL)
        with pytest.raises(PayloadTooLargeError):
            await load_url(server.url, LOCAL)
        with pytest.raises(BadRequestError, match="not an address"):
            await load_url(server.url, [])
    for wrong in ("file:///etc/passwd", "ftp://x", "x", "http://"):
        with pytest.raises(BadRequestError):
            await load_url(wrong, LOCAL)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}\n---\n{"b": "\\ud83d\\ude00"}\n',
        '---\n{"a": 1}\n---  # next\n\n{"b": "\\ud83d\\ude00"}\n---\n',
        '{"a": 1}\r\n---\r\n{"b": "😀"}\r\n',
        '{"a": 1}\n---\nb: 😀',
        '{"a": 1}\n---\n{b: 😀}',
        '[{"a": 1}]\n---\n[{b: 😀}]',
    ],
)
async def test_documents_of_json_and_yaml_with_lines_between(text: str) -> None:
    assert await load_text(text) == [{"a": 1}, {"b": "😀"}]


@pytest.mark.parametrize(
    "text",
    [
        '{"a": b, c: [d, "e"]}',
        '{"a": "b", c: [d, e,], }',
        '{\n  "a": b, # why\n  c: [d, e]\n}',
        "{a: b, 'c': [d, e]}",
        '  {"a": b,\n   c:\n  [d, e]}\n',
    ],
)
async def test_yaml_in_flow_style_may_look_like_json(text: str) -> None:
    assert await load_text(text) == [{"a": "b", "c": ["d", "e"]}]


@pytest.mark.parametrize(
    ("text", "line"), [('{"a": 1,\n"b": [}', 2), ('{"a": 1}\n---\n{"b": [}', 3), ('{"a": 1}}', 1)]
)
async def test_what_is_neither_json_nor_yaml_says_where(text: str, line: int) -> None:
    with pytest.raises(BadRequestError) as caught:
        await load_text(text)

    assert caught.value.errors[0]["loc"][:2] == ["body", line]

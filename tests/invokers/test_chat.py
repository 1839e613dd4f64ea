"""What counts as a chat, and what is plain text."""

import json
import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.invokers.chat import (
    MAX_CHARACTERS,
    MAX_MESSAGES,
    ChatMessage,
    alternating,
    last_user_text,
    read_chat,
)
from app.invokers.invoker import InvokerError, MarkedText

# What YAML can carry: it has no control characters and no lone surrogates.
TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]))
CHATS = st.lists(
    st.tuples(st.sampled_from(["system", "user", "assistant"]), TEXT), min_size=1, max_size=5
)


def read(content: str) -> list[ChatMessage]:
    return read_chat(MarkedText(content))


def as_dicts(chat: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in chat]


def as_tuples(content: str) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in read(content)]


@given(CHATS)
def test_a_yaml_list_round_trips(chat: list[tuple[str, str]]) -> None:
    assert as_tuples(yaml.safe_dump(as_dicts(chat), allow_unicode=True)) == chat


@given(CHATS)
def test_a_json_list_round_trips_with_escapes_or_without(chat: list[tuple[str, str]]) -> None:
    assert as_tuples(json.dumps(as_dicts(chat))) == chat
    assert as_tuples(json.dumps(as_dicts(chat), ensure_ascii=False)) == chat


@given(TEXT)
def test_yaml_with_a_json_string_inside_round_trips(text: str) -> None:
    """What a template writes with `{{ actor_input | tojson }}`."""
    content = f"- role: system\n  content: be kind\n- {{role: user, content: {json.dumps(text)}}}\n"
    assert as_tuples(content) == [("system", "be kind"), ("user", text)]


def test_contents_are_taken_as_written() -> None:
    content = (
        "- {role: user, content: yes}\n- {role: user, content: 012}\n- {role: user, content: }"
    )
    assert as_tuples(content) == [("user", "yes"), ("user", "012"), ("user", "")]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "hello",
        "- a bullet\n- another",
        "[link](target)",
        "[]",
        "{role: user, content: x}",
        "- {role: robot, content: x}",
        "- {role: user}",
        "- {role: user, content: [x]}",
        "- {role: user, content: x, name: y}",
        "- {role: user, content: x}\n- y",
        "- &a {role: user, content: x}\n- *a",
        "- {role: user, content: x}\n---\n- {role: user, content: y}",
        "- {role: user, content: 'x",
        '- {role: user, content: "\\ud800"}',
        "- \x07",
        "[1, 2]",
        "# a heading",
    ],
)
def test_anything_else_is_one_user_message(content: str) -> None:
    assert read(content) == [ChatMessage("user", content)]


@pytest.mark.parametrize(
    "content", ["[" * 1_000_000, "- " * 900_000, "- {a: " * 300_000, "- ? " * 400_000]
)
def test_deep_nesting_is_plain_text_at_once(content: str) -> None:
    started = time.process_time()
    assert read(content) == [ChatMessage("user", content)]
    assert time.process_time() - started < 5  # parsed in depth, they would take minutes


def test_content_is_bounded() -> None:
    with pytest.raises(InvokerError, match="characters"):
        read("x" * (MAX_CHARACTERS + 1))
    with pytest.raises(InvokerError, match="messages"):
        read("- {role: user, content: x}\n" * (MAX_MESSAGES + 1))


def test_the_last_text_of_the_user_is_found() -> None:
    chat = "- {role: user, content: a}\n- {role: user, content: b}\n- {role: assistant, content: c}"
    assert last_user_text(read(chat)) == "b"
    assert last_user_text([ChatMessage("system", "only")]) == ""


def test_neighbours_of_one_role_are_joined() -> None:
    said = [("system", "a"), ("user", "b"), ("user", "c"), ("assistant", "d"), ("user", "e")]
    joined = alternating([ChatMessage(role, text) for role, text in said])  # type: ignore[arg-type]
    assert [(m.role, m.content) for m in joined] == [
        ("system", "a"),
        ("user", "b\n\nc"),
        ("assistant", "d"),
        ("user", "e"),
    ]

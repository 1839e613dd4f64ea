"""Each form of a dialogue, and that YAML and JSON lose nothing."""

import ast
import json

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from app.flows.rendering.dialogue_format import DialogueFormat, format_dialogue

TALK = [
    ("assistant", "What is your name?"),
    ("user", "Ada"),
    ("assistant", "Welcome!\nHow old are you?"),
    ("assistant", "Take your time."),
    ("user", "36"),
]

# PostgreSQL takes any text without NUL; a lone surrogate is no text.
texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
dialogues = st.lists(st.tuples(texts, texts))


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (
            DialogueFormat.YAML,
            "- role: assistant\n  content: What is your name?\n"
            "- role: user\n  content: Ada\n"
            "- role: assistant\n  content: |-\n    Welcome!\n    How old are you?\n"
            "- role: assistant\n  content: Take your time.\n"
            "- role: user\n  content: '36'\n",
        ),
        (
            DialogueFormat.CHAT,
            "assistant: What is your name?\nuser: Ada\nassistant: Welcome!\nHow old are you?\n"
            "assistant: Take your time.\nuser: 36",
        ),
        (
            DialogueFormat.QUESTION_ANSWER,
            "A: What is your name?\n\nQ: Ada\nA: Welcome!\nHow old are you?\nTake your time.\n\n"
            "Q: 36",
        ),
    ],
)
def test_a_form(form: DialogueFormat, text: str) -> None:
    assert format_dialogue(TALK, form) == text


def test_yaml_is_the_default() -> None:
    assert format_dialogue(TALK) == format_dialogue(TALK, DialogueFormat.YAML)


@given(dialogue=dialogues)
@example(dialogue=[("user", "\x85\u2028\u2029\ufeff\x7f\x01\t\r\n\n ")])
@example(dialogue=[("user", " \n lead"), ("a", "trail \n\n"), ("b", "\n"), ("c", "~"), ("d", "😀")])
def test_forms_that_parse_lose_nothing(dialogue: list[tuple[str, str]]) -> None:
    records = [{"role": role, "content": text} for role, text in dialogue]

    assert json.loads(format_dialogue(dialogue, DialogueFormat.JSON)) == records
    assert yaml.load(format_dialogue(dialogue), yaml.CSafeLoader) == records
    assert yaml.safe_load(format_dialogue(dialogue)) == records
    assert ast.literal_eval(format_dialogue(dialogue, DialogueFormat.PYTHON_REPR)) == records

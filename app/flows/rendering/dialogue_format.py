"""A dialogue as text for a model: YAML, JSON, chat lines, Python or questions and answers."""

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import yaml

from app.enums import MessageRole

Dialogue = Iterable[tuple[str, str]]


class DialogueElement(NamedTuple):
    """A message of a dialogue, as templates see it."""

    role: str
    text: str
    created: datetime

    def record(self) -> dict[str, str]:
        """The element as JSON: what models call its parts, and what the reference engine does."""
        return {
            "role": self.role,
            "content": self.text,
            "actor": self.role,
            "actor_text": self.text,
            "timestamp": self.created.isoformat(),
        }


class DialogueFormat(StrEnum):
    """The forms that a template may ask for; YAML and JSON parse back to the same messages."""

    YAML = "yaml"
    JSON = "json"
    CHAT = "chat"
    PYTHON_REPR = "python_repr"
    QUESTION_ANSWER = "question_answer"


def format_dialogue(messages: Dialogue, form: DialogueFormat = DialogueFormat.YAML) -> str:
    """Writes messages, each a (role, text), in that form.

    YAML, JSON and Python hold a list of `{"role": …, "content": …}`; chat is a line `role: text`
    for each message; question-answer puts what the user said as `Q:` above what was said to it as
    `A:`, with an empty line between the pairs.
    """
    return _FORMATTERS[form](list(messages))


class _Dumper(yaml.CSafeDumper):
    """Writes texts of several lines as blocks, which models read better than escapes."""


def _represent_text(dumper: _Dumper, text: str) -> yaml.Node:
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    )


_Dumper.add_representer(str, _represent_text)


def _records(messages: Dialogue) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in messages]


def _yaml(messages: Dialogue) -> str:
    return yaml.dump(
        _records(messages), Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=2**30
    )


def _json(messages: Dialogue) -> str:
    return json.dumps(_records(messages), ensure_ascii=False)


def _chat(messages: Dialogue) -> str:
    return "\n".join(f"{role}: {text}" for role, text in messages)


def _python_repr(messages: Dialogue) -> str:
    return repr(_records(messages))


def _question_answer(messages: Dialogue) -> str:
    pairs: list[tuple[str | None, list[str]]] = []
    for role, text in messages:
        if role == MessageRole.USER:
            pairs.append((text, []))
        elif pairs:
            pairs[-1][1].append(text)
        else:
            pairs.append((None, [text]))  # an opening that nobody asked for
    return "\n\n".join(_pair(question, answers) for question, answers in pairs)


def _pair(question: str | None, answers: list[str]) -> str:
    asked = [] if question is None else [f"Q: {question}"]
    given = ["A: " + "\n".join(answers)] if answers else []
    return "\n".join(asked + given)


_FORMATTERS: dict[DialogueFormat, Callable[[Dialogue], str]] = {
    DialogueFormat.YAML: _yaml,
    DialogueFormat.JSON: _json,
    DialogueFormat.CHAT: _chat,
    DialogueFormat.PYTHON_REPR: _python_repr,
    DialogueFormat.QUESTION_ANSWER: _question_answer,
}

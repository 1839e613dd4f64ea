"""Reads the messages that a template writes as text for a model.

Only the template's own text opens a message: what stands in it of the session (what a user said,
what another step gave) is in a message as it is, whatever it looks like.
"""

import json
import re
import secrets
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, cast, get_args

import orjson
import yaml

from app.invokers.invoker import InvokerError, MarkedText

Role = Literal["system", "user", "assistant"]
Message = tuple[Role, str]


class _Scalar(NamedTuple):
    text: str
    is_block: bool


# What a list may hold: the members of a message, or a text of its own.
_Item = dict[str, _Scalar] | _Scalar
_Read = Callable[["_Item"], list[Message] | None]

_ROLES = frozenset(get_args(Role))
_MEMBERS = {"role", "content"}
# `tojson` writes an emoji as two escapes, which JSON allows and libyaml refuses.
_SURROGATE_PAIR = re.compile(r"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}", re.IGNORECASE)
# How a template's own text begins that means to write messages.
_OPENS_MESSAGES = re.compile(r"\s*(?:-|\[)\s*\{?\s*[\"']?(?:role|content)\b")
# The names of values, and one on a line of its own.
_NAME = re.compile(r"v[0-9a-f]{16}[0-9]+x")
_NAME_ON_A_LINE = re.compile(r"^([ ]*)(v[0-9a-f]{16}[0-9]+x)[ ]*$", re.MULTILINE)
_ROLE_OF_A_VALUE = (
    "the role of a message of the system is not the template's own text: a value cannot give it"
)
_UNREADABLE = (
    "the template begins as a list of messages, but is none: a value stands where only the "
    "template's own text can (each message is `- role: …` and `content: {{ … }}`)"
)


def read_messages(content: MarkedText) -> list[Message] | None:
    """The messages of a YAML or JSON list of `{role, content}`; None for any other text.

    Contents are taken as they are written: `content: yes` is the text "yes". A value is taken as
    it is; one that is a whole content, and a JSON string (of `tojson`), is read as that. The
    session's dialogue, on lines of its own, is its messages.

    Raises:
        InvokerError: a value says that a message is of the system, or stands between messages.
    """
    if content.values:
        return _MarkedReader(content).read()
    return _parse_json(content.text) or _parse_repaired(content.text, _literal_messages)


class _MarkedReader:
    """Parses the template's own text, with a token in the place of each value."""

    def __init__(self, content: MarkedText) -> None:
        token = "v" + secrets.token_hex(8)
        self._values: dict[str, str] = {}
        self._indents: dict[str, str] = {}  # that the template gave each, of the line it stands on
        self._dialogues: set[str] = set()
        pieces, indent = [], ""
        for text, value in content.pieces():
            if value is None:
                pieces.append(text)
                indent = _indent(text) if "\n" in text else indent
                continue
            name = f"{token}{len(self._values)}x"
            self._values[name], self._indents[name] = text, indent if value.indented else ""
            if value.dialogue:
                self._dialogues.add(name)
            pieces.append(name)
        self._text = "".join(pieces)

    def read(self) -> list[Message] | None:
        """The messages, or None when the text is not a list of them."""
        messages = _parse_repaired(self._text, self._read)
        if messages is None and self._dialogues:
            messages = _parse_repaired(_NAME_ON_A_LINE.sub(self._as_item, self._text), self._read)
        if messages is None and _OPENS_MESSAGES.match(self._text):
            raise InvokerError(_UNREADABLE)
        return messages

    def _as_item(self, line: re.Match[str]) -> str:
        return f"{line[1]}- {line[2]}" if line[2] in self._dialogues else line[0]

    def _read(self, item: _Item) -> list[Message] | None:
        if isinstance(item, _Scalar):
            dialogue = self._values[item.text] if item.text in self._dialogues else ""
            return _parse_yaml(dialogue, _literal_messages)
        if item.keys() != _MEMBERS:
            return None
        role = _NAME.sub(lambda name: self._values.get(name[0], name[0]), item["role"].text)
        if role == "system" and role != item["role"].text:
            raise InvokerError(_ROLE_OF_A_VALUE)
        return _message(role, self._fill(item["content"]))

    def _fill(self, content: _Scalar) -> str:
        if content.text in self._values and not content.is_block:
            return _unquoted(self._values[content.text])
        value_of = self._value_in_block if content.is_block else self._values.__getitem__
        return _NAME.sub(
            lambda name: value_of(name[0]) if name[0] in self._values else name[0], content.text
        )

    def _value_in_block(self, name: str) -> str:
        """A value of several lines; without the indent that a template gave it for YAML."""
        first, *lines = self._values[name].split("\n")
        indent = self._indents[name]
        if all(line.startswith(indent) or not line for line in lines):
            lines = [line.removeprefix(indent) for line in lines]
        return "\n".join([first, *lines])


def _indent(text: str) -> str:
    """The blanks at the start of the last line."""
    line = text.rpartition("\n")[2]
    return line[: len(line) - len(line.lstrip(" "))]


def _unquoted(value: str) -> str:
    """The text that a value is as JSON; else the value."""
    if not value.startswith('"'):
        return value
    try:
        return cast(str, orjson.loads(value))
    except orjson.JSONDecodeError:
        return value


def _parse_json(content: str) -> list[Message] | None:
    if content.lstrip()[:1] != "[":
        return None
    try:
        items = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    messages: list[Message] = []
    for item in items:
        match item:
            case {"role": str(role), "content": str(text), **others} if not others:
                messages += _message(role, text) or []
    return messages if len(messages) == len(items) else None


def _parse_repaired(content: str, read: _Read) -> list[Message] | None:
    if content.lstrip()[:1] not in {"-", "[", "#"}:
        return None
    try:
        return _parse_yaml(content, read)
    except yaml.YAMLError:
        repaired = _SURROGATE_PAIR.sub(lambda pair: json.loads(f'"{pair[0]}"'), content)
    try:
        return _parse_yaml(repaired, read) if repaired != content else None
    except yaml.YAMLError:
        return None


def _parse_yaml(content: str, read: _Read) -> list[Message] | None:
    """Walks the parser's events and stops at the first that a list of messages does not have.

    Nothing is built from the document, so nesting, aliases and tags cost nothing.
    """
    events = yaml.parse(content, Loader=yaml.CSafeLoader)
    for expected in (yaml.StreamStartEvent, yaml.DocumentStartEvent, yaml.SequenceStartEvent):
        if not isinstance(next(events, None), expected):
            return None
    messages: list[Message] = []
    for event in events:
        if isinstance(event, yaml.SequenceEndEvent):
            return messages if _only_one_document(events) else None
        item = _item(event, events)
        found = None if item is None else read(item)
        if found is None:
            return None
        messages += found
    return None


def _item(event: yaml.Event, events: Iterator[yaml.Event]) -> _Item | None:
    """What begins with an event: a mapping of scalars, or one of them."""
    if isinstance(event, yaml.ScalarEvent):
        return _scalar(event)
    if not isinstance(event, yaml.MappingStartEvent):
        return None
    scalars: list[_Scalar] = []
    for member in events:
        if isinstance(member, yaml.MappingEndEvent):
            names = (scalar.text for scalar in scalars[::2])
            return dict(zip(names, scalars[1::2], strict=True))
        if not isinstance(member, yaml.ScalarEvent) or len(scalars) == 4:  # noqa: PLR2004 - two pairs
            return None
        scalars.append(_scalar(member))
    return None


def _scalar(event: yaml.ScalarEvent) -> _Scalar:
    return _Scalar(event.value, event.style in ("|", ">"))


def _only_one_document(events: Iterator[yaml.Event]) -> bool:
    return [type(event) for event in events] == [yaml.DocumentEndEvent, yaml.StreamEndEvent]


def _literal_messages(item: _Item) -> list[Message] | None:
    """The message that an item is, as it is written."""
    if isinstance(item, _Scalar) or item.keys() != _MEMBERS:
        return None
    return _message(item["role"].text, item["content"].text)


def _message(role: str, text: str) -> list[Message] | None:
    return [(cast(Role, role), text)] if role in _ROLES else None

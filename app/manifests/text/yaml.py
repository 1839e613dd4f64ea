"""YAML text to plain values, in one pass over libyaml's events: bounded, without YAML's surprises.

Numbers, `true`, `false` and `null` are what JSON calls so; every other plain scalar is text. So
`on:` stays a key named "on", a date stays text, and `010` is not eight. Anchors, aliases, merge
keys, tags and directives are refused, and so is a key that is there twice.
"""

import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml
from yaml.events import (
    AliasEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from app.kit.storable import NotStorableError, parse_number
from app.manifests.text.limits import MAX_DEPTH, MAX_NODES, refuse

_DIRECTIVE = re.compile(r"^%", re.MULTILINE)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_NOT_FINITE = re.compile(r"[-+]?\.inf|\.nan", re.IGNORECASE)


def read_yaml(text: str) -> list[Any]:
    """The documents of a text, in order.

    Raises:
        BadRequestError: the text is not YAML, or not of the kind described above; with line and
            column.
    """
    if _DIRECTIVE.search(text):
        refuse("YAML directives (lines that begin with %) are not taken")
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            builder.take(event)
    except yaml.YAMLError as error:
        _refuse_syntax(error)
    return builder.documents


@dataclass(slots=True)
class _Open:
    """A collection that is being read; of a mapping, also the key whose value comes next."""

    value: dict[str, Any] | list[Any]
    key: str | None = None


@dataclass(slots=True)
class _Builder:
    """Puts values together without recursion: depth costs nothing and is bounded anyway."""

    documents: list[Any] = field(default_factory=list)
    _open: list[_Open] = field(default_factory=list)
    _nodes: int = 0

    def take(self, event: Event) -> None:
        match event:
            case ScalarEvent():
                self._check(event)
                self._put(_scalar(event), event)
            case MappingStartEvent() | SequenceStartEvent():
                self._check(event)
                self._start(event)
            case MappingEndEvent() | SequenceEndEvent():
                done = self._open.pop().value
                if not self._open:
                    self.documents.append(done)
            case AliasEvent():
                _refuse_at(event, "aliases (*name) are not taken")
            case _:  # the beginning or end of a document
                pass

    def _start(self, event: Event) -> None:
        value: dict[str, Any] | list[Any] = {} if isinstance(event, MappingStartEvent) else []
        if self._open:
            self._put(value, event)
        self._open.append(_Open(value))
        if len(self._open) > MAX_DEPTH:
            _refuse_at(event, f"nested deeper than {MAX_DEPTH} levels")

    def _put(self, value: Any, event: Event) -> None:
        if not self._open:
            self.documents.append(value)
            return
        top = self._open[-1]
        if isinstance(top.value, list):
            top.value.append(value)
        elif top.key is None:
            top.key = _key(event, top.value)
        else:
            top.value[top.key] = value
            top.key = None

    def _check(self, event: ScalarEvent | MappingStartEvent | SequenceStartEvent) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            _refuse_at(event, f"more than {MAX_NODES} values")
        if event.anchor is not None:
            _refuse_at(event, "anchors (&name) are not taken")
        if event.tag is not None:
            _refuse_at(event, "tags (!name) are not taken")


def _key(event: Event, mapping: dict[str, Any]) -> str:
    """A key is always the text as it is written."""
    if not isinstance(event, ScalarEvent):
        _refuse_at(event, "a key must be text")
    if event.value == "<<" and event.implicit[0]:
        _refuse_at(event, "merge keys (<<) are not taken")
    if event.value in mapping:
        _refuse_at(event, "a key that is there already, under the same parent")
    return str(event.value)


def _scalar(event: ScalarEvent) -> Any:
    text: str = event.value
    if not event.implicit[0]:  # quoted, or a block
        return text
    if text.lower() in _WORDS and text in (text.lower(), text.upper(), text.capitalize()):
        return _WORDS[text.lower()]
    if _NOT_FINITE.fullmatch(text):
        _refuse_at(event, "infinity and NaN are no numbers here")
    if _NUMBER.fullmatch(text):
        try:
            return parse_number(text)
        except NotStorableError as fault:
            _refuse_at(event, f"{fault.reason}; write it in quotes as text")
    return text


def _refuse_at(event: Event, msg: str) -> NoReturn:
    mark = event.start_mark
    assert mark is not None  # noqa: S101 - events of a parser have one
    refuse(msg, line=mark.line + 1, column=mark.column + 1)


def _refuse_syntax(error: yaml.YAMLError) -> NoReturn:
    """Says where libyaml stopped and why; it quotes nothing of the text."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
    context = getattr(error, "context", None)
    reason = f"{problem} ({context})" if context else str(problem)
    if mark is None:
        refuse(reason)
    refuse(reason, line=mark.line + 1, column=mark.column + 1)

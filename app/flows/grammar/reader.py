"""The grammar of templates, one for flows in code and in manifests: forms, limits, messages."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from app.errors import Loc
from app.flows.findings import Findings
from app.flows.grammar.agent import read_agent
from app.flows.grammar.ask import read_ask
from app.flows.grammar.tools import read_run_chat
from app.flows.template import (
    Chain,
    Invoke,
    Map,
    Node,
    Parallel,
    Queue,
    Render,
    RetryPolicy,
    Template,
)
from app.invokers.invoker import FailureKind
from app.kit.path_faults import path_fault

MAX_TEMPLATES = 500
MAX_TEXT_CHARS = 50_000
MAX_PATH_CHARS = 1000
MAX_TIMEOUT_SECONDS = 3600
MIN_SECONDS = 0.001
MAX_RETRIES = 20
MAX_INTERVAL_SECONDS = 86_400
MAX_COEFFICIENT = 100
MAX_LOC = 130  # keys and indexes that lead to a template

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}", re.ASCII)
_QUEUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", re.ASCII)

_KINDS = (FailureKind.TIMEOUT, FailureKind.CONNECTION, FailureKind.ANSWER)
_STATUS = re.compile(r"[45](xx|[0-9][0-9])", re.ASCII)


def read_retry(findings: Findings, given: dict[str, Any], loc: Loc) -> RetryPolicy | None:
    """The `retry` of an object that may have `retries` instead; None where there is none."""
    value, loc = given.get("retry"), (*loc, "retry")
    if value is None:
        return None
    if given.get("retries") is not None:
        findings.error(loc, "retries is short for retry.maximum_attempts; give one of the two")
    known = [field.name for field in fields(RetryPolicy)]
    given = findings.members(value, loc, known)
    attempts = findings.number(
        given.get("maximum_attempts"), (*loc, "maximum_attempts"), 1, MAX_RETRIES + 1, whole=True
    )
    first, longest = (
        findings.number(given.get(name), (*loc, name), MIN_SECONDS, MAX_INTERVAL_SECONDS)
        for name in ("initial_interval", "maximum_interval")
    )
    if first is not None and longest is not None and longest < first:
        findings.error((*loc, "maximum_interval"), "must not be less than initial_interval")
    coefficient = findings.number(
        given.get("backoff_coefficient"), (*loc, "backoff_coefficient"), 1, MAX_COEFFICIENT
    )
    on = None if given.get("on") is None else _failures(findings, given["on"], (*loc, "on"))
    most = None if attempts is None else int(attempts)
    return RetryPolicy(most, first, coefficient, longest, on)


def _failures(findings: Findings, value: object, loc: Loc) -> tuple[str, ...]:
    """The failures that a policy names; a status may be a number or a text."""
    if value == []:
        findings.error(loc, "is empty; for no second attempt, maximum_attempts is 1")
    names = []
    for index, item in enumerate(findings.items(value, loc)):
        name = str(item).lower() if isinstance(item, int | str) else ""
        if name not in _KINDS and not _STATUS.fullmatch(name):
            kinds = ", ".join(_KINDS)
            msg = f"must be one of {kinds}, a status from 400 to 599, 4xx or 5xx"
            findings.error((*loc, index), msg)
        names.append(name)
    return tuple(names)


class TemplateReader(ABC):
    """Reads the templates of one flow as the tree that the engine runs, each fault with its loc.

    What a text alone means, what may be written instead of an object, and whether Python may be
    called depends on how the flow is written: subclasses say so.

    Args:
        findings: where faults go.
    """

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._seen = 0
        self._forms: dict[str, Callable[[dict[str, Any], Loc], Node | None]] = {
            "invoke": self._invoke,
            "chain": self._chain,
            "parallel": self._parallel,
            "map": self._map,
            "queue": self._queue,
            "ask": self._ask,
            "agent": self._agent,
        }

    def read(self, value: object, loc: Loc) -> Template | None:
        """The template of a state; None where something is wrong with it."""
        match value:
            case str():
                return self._bare(value, loc)
            case Render(text):
                return None if self._text(text, loc) is None else value
            case _:
                return self._node(value, loc) if self._count(loc) else None

    @abstractmethod
    def _bare(self, text: str, loc: Loc) -> Render | Invoke | None:
        """The template that a text alone stands for."""

    @abstractmethod
    def _form(self, value: object, loc: Loc) -> dict[Any, Any] | None:
        """A template that is no text as an object with one of the forms; None if it is none."""

    @abstractmethod
    def _check_text(self, text: str, loc: Loc) -> None:
        """Finds faults in a Jinja2 text."""

    @abstractmethod
    def _check_invoker(self, name: str, loc: Loc) -> None:
        """Finds that an invoker is not there."""

    def _check_asked(self, invoker: str, text: object, loc: Loc) -> None:  # noqa: B027 - of code, nothing
        """Finds that what a model is asked would be made of data alone."""

    @abstractmethod
    def _check_config(self, invoker: str, config: dict[str, Any], loc: Loc) -> None:
        """Finds what is wrong with the config of an invoker."""

    def _count(self, loc: Loc) -> bool:
        """Whether one template more is not too many."""
        self._seen += 1
        if self._seen == MAX_TEMPLATES + 1:
            self._findings.error(loc, f"a flow has at most {MAX_TEMPLATES} templates")
        return self._seen <= MAX_TEMPLATES

    def _part(self, value: object, loc: Loc) -> Node | None:
        """A template inside another one; what a text there renders to is its result."""
        if len(loc) > MAX_LOC:
            self._findings.error(loc[:8], "templates nest too deep")
            return None
        if isinstance(value, str | Render) and not self._count(loc):
            return None
        template = self.read(value, loc)
        return Invoke(template.text, "verbatim") if isinstance(template, Render) else template

    def _node(self, value: object, loc: Loc) -> Node | None:
        given = self._form(value, loc)
        if given is None:
            return None
        forms = [form for form in self._forms if form in given]
        if len(forms) == 1:
            return self._forms[forms[0]](given, loc)
        self._findings.error(loc, f"must have exactly one of {', '.join(self._forms)}")
        return None

    def _invoke(self, value: dict[str, Any], loc: Loc) -> Node | None:
        known = ("invoke", "template", "config", "timeout", "retries", "retry", "tools")
        if value.get("tools") is not None:
            if (invoker := self._invoker(value["invoke"], (*loc, "invoke"))) is None:
                return None
            self._check_asked(invoker, value.get("template"), (*loc, "template"))
            return read_run_chat(self._findings, value, loc, self._text)
        given = self._findings.members(value, loc, known)
        text = self._text(given.get("template"), (*loc, "template"))
        config = given.get("config")
        config = {} if config is None else self._findings.mapping(config, (*loc, "config"))
        timeout = self._findings.number(
            given.get("timeout"), (*loc, "timeout"), MIN_SECONDS, MAX_TIMEOUT_SECONDS
        )
        retries = self._findings.number(
            given.get("retries"), (*loc, "retries"), 0, MAX_RETRIES, whole=True
        )
        retry = read_retry(self._findings, given, loc)
        invoker = self._invoker(given["invoke"], (*loc, "invoke"))
        if text is None or invoker is None:
            return None
        self._check_asked(invoker, text, (*loc, "template"))
        self._check_config(invoker, config, (*loc, "config"))
        most = None if retries is None else int(retries)
        return Invoke(text, invoker, config, timeout, most, retry)

    def _invoker(self, name: object, loc: Loc) -> str | None:
        if not isinstance(name, str) or not name:
            self._findings.error(loc, "must be the name of an invoker")
            return None
        self._check_invoker(name, loc)
        return name

    def _chain(self, value: dict[str, Any], loc: Loc) -> Node | None:
        self._findings.members(value, loc, ("chain",))
        loc = (*loc, "chain")
        given = self._findings.items(value["chain"], loc)
        if value["chain"] == []:
            self._findings.error(loc, "is empty; a chain has at least one template")
        parts = [self._part(part, (*loc, index)) for index, part in enumerate(given)]
        whole = [part for part in parts if part is not None]
        return Chain(tuple(whole)) if whole and len(whole) == len(parts) else None

    def _parallel(self, value: dict[str, Any], loc: Loc) -> Node | None:
        self._findings.members(value, loc, ("parallel",))
        loc = (*loc, "parallel")
        given = self._findings.mapping(value["parallel"], loc)
        if value["parallel"] == {}:
            self._findings.error(loc, "nothing is parallel; there is at least one template")
        parts = {key: self._keyed(key, part, loc) for key, part in given.items()}
        whole = {key: part for key, part in parts.items() if part is not None}
        return Parallel(whole) if whole and len(whole) == len(parts) else None

    def _keyed(self, key: object, part: object, loc: Loc) -> Node | None:
        if isinstance(key, str):
            return self._part(part, (*loc, key))
        self._findings.error(loc, f"{key!r} is a key, but no text")
        return None

    def _map(self, value: dict[str, Any], loc: Loc) -> Node | None:
        self._findings.members(value, loc, ("map",))
        loc = (*loc, "map")
        known = ("over", "template", "index_field", "value_field")
        given = self._findings.members(value["map"], loc, known)
        path = self._path(given.get("over"), (*loc, "over"))
        index, item = (
            self._name(given.get(f"{key}_field", f"map_{key}"), (*loc, f"{key}_field"))
            for key in ("index", "value")
        )
        if index is not None and index == item:
            reason = f"index and value cannot both be {index!r}"
            self._findings.error(loc, f"index_field and value_field must differ: {reason}")
        part = self._part(given.get("template"), (*loc, "template"))
        if path is None or index is None or item is None or part is None:
            return None
        return Map(path, part, index, item)

    def _queue(self, value: dict[str, Any], loc: Loc) -> Node | None:
        given = self._findings.members(value, loc, ("queue", "template"))
        name = given["queue"]
        part = self._part(given.get("template"), (*loc, "template"))
        if not isinstance(name, str) or not _QUEUE.fullmatch(name):
            self._findings.error((*loc, "queue"), "a queue's name is letters, digits, _ and -")
            return None
        return None if part is None else Queue(name, part)

    def _ask(self, value: dict[str, Any], loc: Loc) -> Node | None:
        self._findings.members(value, loc, ("ask",))
        return read_ask(self._findings, value["ask"], (*loc, "ask"), self._text)

    def _agent(self, value: dict[str, Any], loc: Loc) -> Node | None:
        return read_agent(self._findings, value, loc, self._text)

    def _text(self, value: object, loc: Loc) -> str | None:
        if not isinstance(value, str):
            self._findings.error(loc, "must be a text")
            return None
        if len(value) > MAX_TEXT_CHARS:
            self._findings.error(loc, f"is longer than {MAX_TEXT_CHARS} characters")
            return None
        self._check_text(value, loc)
        return value

    def _path(self, value: object, loc: Loc) -> str | None:
        if not isinstance(value, str) or not value.strip():
            self._findings.error(loc, "must be a JMESPath")
            return None
        if len(value) > MAX_PATH_CHARS:
            self._findings.error(loc, f"is longer than {MAX_PATH_CHARS} characters")
            return None
        try:
            jmespath.compile(value)
        except (JMESPathError, ValueError, RecursionError) as error:
            self._findings.error(loc, f"is not a JMESPath: {path_fault(error)}")
        return value

    def _name(self, value: object, loc: Loc) -> str | None:
        if isinstance(value, str) and _NAME.fullmatch(value):
            return value
        self._findings.error(loc, "must be a name: a letter or _, then letters, digits or _")
        return None

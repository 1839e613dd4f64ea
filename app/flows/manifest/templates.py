"""The templates of a manifest as the tree that the engine runs, with every fault in its place."""

import re
from collections.abc import Callable, Collection
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from app.flows.findings import Findings, Place
from app.flows.rendering.jinja import check_syntax
from app.flows.template import Chain, Invoke, Map, Node, Parallel, Queue, Render, Template

MAX_TEMPLATES = 500
MAX_TEXT_CHARS = 50_000
MAX_PATH_CHARS = 1000
MAX_TIMEOUT_SECONDS = 3600
MAX_RETRIES = 20

_FORMS = "invoke, chain, parallel, map, queue"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}", re.ASCII)
_QUEUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", re.ASCII)


class TemplateReader:
    """Reads templates.

    Args:
        findings: where faults go.
        invokers: names that may be invoked; None for any.
        check_texts: whether to look for faults in Jinja2 texts and JMESPaths too.
    """

    def __init__(
        self,
        findings: Findings,
        invokers: Collection[str] | None = None,
        *,
        check_texts: bool = True,
    ) -> None:
        self._findings = findings
        self._invokers = invokers
        self._check_texts = check_texts
        self._seen = 0
        self._forms: dict[str, Callable[[dict[str, Any], Place], Node | None]] = {
            "invoke": self._invoke,
            "chain": self._chain,
            "parallel": self._parallel,
            "map": self._map,
            "queue": self._queue,
        }

    def read(self, templates: object, place: Place) -> dict[str, Template | None]:
        """The template of each state; None for one that is wrong."""
        given = self._findings.mapping(templates, place)
        return {state: self._template(value, (*place, state)) for state, value in given.items()}

    def _template(self, value: object, place: Place) -> Template | None:
        if isinstance(value, str):
            text = self._text(value, place)
            return None if text is None else Render(text)
        return self._node(value, place)

    def _node(self, value: object, place: Place) -> Node | None:
        self._seen += 1
        if self._seen == MAX_TEMPLATES + 1:
            self._findings.error(place, f"a flow has at most {MAX_TEMPLATES} templates")
        if self._seen > MAX_TEMPLATES:
            return None
        if isinstance(value, str):
            # A text inside a chain, a map or the like: what it renders to is its result.
            text = self._text(value, place)
            return None if text is None else Invoke(text, "verbatim")
        if not isinstance(value, dict):
            self._findings.error(place, f"must be a text or an object with one of {_FORMS}")
            return None
        forms = [form for form in self._forms if form in value]
        if "call" in value:
            self._findings.error((*place, "call"), "Python is called in code flows only")
        elif len(forms) == 1:
            return self._forms[forms[0]](value, place)
        else:
            self._findings.error(place, f"must have exactly one of {_FORMS}")
        return None

    def _invoke(self, value: dict[str, Any], place: Place) -> Node | None:
        known = ("invoke", "template", "config", "timeout", "retries")
        given = self._findings.members(value, place, known)
        text = self._text(given.get("template"), (*place, "template"))
        config = given.get("config")
        config = {} if config is None else self._findings.mapping(config, (*place, "config"))
        timeout = self._number(
            given.get("timeout"), (*place, "timeout"), 0.001, MAX_TIMEOUT_SECONDS, whole=False
        )
        retries = self._number(
            given.get("retries"), (*place, "retries"), 0, MAX_RETRIES, whole=True
        )
        invoker = self._invoker(given["invoke"], (*place, "invoke"))
        if text is None or invoker is None:
            return None
        return Invoke(text, invoker, config, timeout, None if retries is None else int(retries))

    def _invoker(self, name: object, place: Place) -> str | None:
        if not isinstance(name, str) or not name:
            self._findings.error(place, "must be the name of an invoker")
            return None
        if self._invokers is not None and name not in self._invokers:
            known = ", ".join(sorted(self._invokers)[:20])
            self._findings.error(place, f"there is no invoker {name[:100]!r}; there are {known}")
        return name

    def _chain(self, value: dict[str, Any], place: Place) -> Node | None:
        self._findings.members(value, place, ("chain",))
        place = (*place, "chain")
        given = self._findings.items(value["chain"], place)
        if value["chain"] == []:
            self._findings.error(place, "a chain has at least one template")
        parts = [self._node(part, (*place, index)) for index, part in enumerate(given)]
        whole = [part for part in parts if part is not None]
        return Chain(tuple(whole)) if whole and len(whole) == len(parts) else None

    def _parallel(self, value: dict[str, Any], place: Place) -> Node | None:
        self._findings.members(value, place, ("parallel",))
        place = (*place, "parallel")
        given = self._findings.mapping(value["parallel"], place)
        if value["parallel"] == {}:
            self._findings.error(place, "a parallel has at least one template")
        parts = {key: self._node(part, (*place, key)) for key, part in given.items()}
        whole = {key: part for key, part in parts.items() if part is not None}
        return Parallel(whole) if whole and len(whole) == len(parts) else None

    def _map(self, value: dict[str, Any], place: Place) -> Node | None:
        self._findings.members(value, place, ("map",))
        place = (*place, "map")
        known = ("over", "template", "index_field", "value_field")
        given = self._findings.members(value["map"], place, known)
        path = self._path(given.get("over"), (*place, "over"))
        index, item = (
            self._name(given.get(f"{key}_field", f"map_{key}"), (*place, f"{key}_field"))
            for key in ("index", "value")
        )
        if index is not None and index == item:
            self._findings.error(place, "index_field and value_field must differ")
        part = self._node(given.get("template"), (*place, "template"))
        if path is None or index is None or item is None or part is None:
            return None
        return Map(path, part, index, item)

    def _queue(self, value: dict[str, Any], place: Place) -> Node | None:
        given = self._findings.members(value, place, ("queue", "template"))
        name = given["queue"]
        part = self._node(given.get("template"), (*place, "template"))
        if not isinstance(name, str) or not _QUEUE.fullmatch(name):
            self._findings.error((*place, "queue"), "a queue's name is letters, digits, _ and -")
            return None
        return None if part is None else Queue(name, part)

    def _text(self, value: object, place: Place) -> str | None:
        if not isinstance(value, str):
            self._findings.error(place, "must be a text")
            return None
        if len(value) > MAX_TEXT_CHARS:
            self._findings.error(place, f"is longer than {MAX_TEXT_CHARS} characters")
            return None
        for fault in check_syntax(value) if self._check_texts else []:
            self._findings.error(place, f"line {fault.line}: {fault.message}")
        return value

    def _path(self, value: object, place: Place) -> str | None:
        if not isinstance(value, str) or not value.strip():
            self._findings.error(place, "must be a JMESPath")
            return None
        if len(value) > MAX_PATH_CHARS:
            self._findings.error(place, f"is longer than {MAX_PATH_CHARS} characters")
            return None
        try:
            jmespath.compile(value)
        except (JMESPathError, ValueError, RecursionError) as error:
            reason = " ".join(str(error).split())[:300]
            self._findings.error(place, f"is not a JMESPath: {reason}")
        return value

    def _name(self, value: object, place: Place) -> str | None:
        if isinstance(value, str) and _NAME.fullmatch(value):
            return value
        self._findings.error(place, "must be a name: a letter or _, then letters, digits or _")
        return None

    def _number(
        self, value: object, place: Place, least: float, most: float, *, whole: bool
    ) -> float | None:
        if value is None:
            return None
        kinds = int if whole else (int, float)
        if isinstance(value, kinds) and not isinstance(value, bool) and least <= value <= most:
            return value
        kind = "a whole number" if whole else "a number"
        self._findings.error(place, f"must be {kind} from {least:g} to {most:g}")
        return None

"""The templates of a manifest as the tree that the engine runs, with every fault in its loc."""

import re
from collections.abc import Callable, Collection
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from app.errors import Loc
from app.flows.findings import Findings
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


class ManifestTemplateReader:
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
        self._forms: dict[str, Callable[[dict[str, Any], Loc], Node | None]] = {
            "invoke": self._invoke,
            "chain": self._chain,
            "parallel": self._parallel,
            "map": self._map,
            "queue": self._queue,
        }

    def read(self, templates: object, loc: Loc) -> dict[str, Template | None]:
        """The template of each state; None for one that is wrong."""
        given = self._findings.mapping(templates, loc)
        return {state: self._template(value, (*loc, state)) for state, value in given.items()}

    def _template(self, value: object, loc: Loc) -> Template | None:
        if isinstance(value, str):
            text = self._text(value, loc)
            return None if text is None else Render(text)
        return self._node(value, loc)

    def _node(self, value: object, loc: Loc) -> Node | None:
        self._seen += 1
        if self._seen == MAX_TEMPLATES + 1:
            self._findings.error(loc, f"a flow has at most {MAX_TEMPLATES} templates")
        if self._seen > MAX_TEMPLATES:
            return None
        if isinstance(value, str):
            # A text inside a chain, a map or the like: what it renders to is its result.
            text = self._text(value, loc)
            return None if text is None else Invoke(text, "verbatim")
        if not isinstance(value, dict):
            self._findings.error(loc, f"must be a text or an object with one of {_FORMS}")
            return None
        forms = [form for form in self._forms if form in value]
        if "call" in value:
            self._findings.error((*loc, "call"), "Python is called in code flows only")
        elif len(forms) == 1:
            return self._forms[forms[0]](value, loc)
        else:
            self._findings.error(loc, f"must have exactly one of {_FORMS}")
        return None

    def _invoke(self, value: dict[str, Any], loc: Loc) -> Node | None:
        known = ("invoke", "template", "config", "timeout", "retries")
        given = self._findings.members(value, loc, known)
        text = self._text(given.get("template"), (*loc, "template"))
        config = given.get("config")
        config = {} if config is None else self._findings.mapping(config, (*loc, "config"))
        timeout = self._number(
            given.get("timeout"), (*loc, "timeout"), 0.001, MAX_TIMEOUT_SECONDS, whole=False
        )
        retries = self._number(given.get("retries"), (*loc, "retries"), 0, MAX_RETRIES, whole=True)
        invoker = self._invoker(given["invoke"], (*loc, "invoke"))
        if text is None or invoker is None:
            return None
        return Invoke(text, invoker, config, timeout, None if retries is None else int(retries))

    def _invoker(self, name: object, loc: Loc) -> str | None:
        if not isinstance(name, str) or not name:
            self._findings.error(loc, "must be the name of an invoker")
            return None
        if self._invokers is not None and name not in self._invokers:
            known = ", ".join(sorted(self._invokers)[:20])
            self._findings.error(loc, f"there is no invoker {name[:100]!r}; there are {known}")
        return name

    def _chain(self, value: dict[str, Any], loc: Loc) -> Node | None:
        self._findings.members(value, loc, ("chain",))
        loc = (*loc, "chain")
        given = self._findings.items(value["chain"], loc)
        if value["chain"] == []:
            self._findings.error(loc, "a chain has at least one template")
        parts = [self._node(part, (*loc, index)) for index, part in enumerate(given)]
        whole = [part for part in parts if part is not None]
        return Chain(tuple(whole)) if whole and len(whole) == len(parts) else None

    def _parallel(self, value: dict[str, Any], loc: Loc) -> Node | None:
        self._findings.members(value, loc, ("parallel",))
        loc = (*loc, "parallel")
        given = self._findings.mapping(value["parallel"], loc)
        if value["parallel"] == {}:
            self._findings.error(loc, "a parallel has at least one template")
        parts = {key: self._node(part, (*loc, key)) for key, part in given.items()}
        whole = {key: part for key, part in parts.items() if part is not None}
        return Parallel(whole) if whole and len(whole) == len(parts) else None

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
            self._findings.error(loc, "index_field and value_field must differ")
        part = self._node(given.get("template"), (*loc, "template"))
        if path is None or index is None or item is None or part is None:
            return None
        return Map(path, part, index, item)

    def _queue(self, value: dict[str, Any], loc: Loc) -> Node | None:
        given = self._findings.members(value, loc, ("queue", "template"))
        name = given["queue"]
        part = self._node(given.get("template"), (*loc, "template"))
        if not isinstance(name, str) or not _QUEUE.fullmatch(name):
            self._findings.error((*loc, "queue"), "a queue's name is letters, digits, _ and -")
            return None
        return None if part is None else Queue(name, part)

    def _text(self, value: object, loc: Loc) -> str | None:
        if not isinstance(value, str):
            self._findings.error(loc, "must be a text")
            return None
        if len(value) > MAX_TEXT_CHARS:
            self._findings.error(loc, f"is longer than {MAX_TEXT_CHARS} characters")
            return None
        for fault in check_syntax(value) if self._check_texts else []:
            self._findings.error(loc, f"line {fault.line}: {fault.message}")
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
            reason = " ".join(str(error).split())[:300]
            self._findings.error(loc, f"is not a JMESPath: {reason}")
        return value

    def _name(self, value: object, loc: Loc) -> str | None:
        if isinstance(value, str) and _NAME.fullmatch(value):
            return value
        self._findings.error(loc, "must be a name: a letter or _, then letters, digits or _")
        return None

    def _number(
        self, value: object, loc: Loc, least: float, most: float, *, whole: bool
    ) -> float | None:
        if value is None:
            return None
        kinds = int if whole else (int, float)
        if isinstance(value, kinds) and not isinstance(value, bool) and least <= value <= most:
            return value
        kind = "a whole number" if whole else "a number"
        self._findings.error(loc, f"must be {kind} from {least:g} to {most:g}")
        return None

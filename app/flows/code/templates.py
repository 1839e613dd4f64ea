"""The templates of a flow in code: Python beside the forms of a manifest, texts are files."""

import importlib
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from typing_extensions import override

from app.errors import Loc
from app.flows.code.folder import TemplateFolder
from app.flows.findings import Findings
from app.flows.grammar.reader import TemplateReader
from app.flows.template import (
    Ask,
    Call,
    Chain,
    Converse,
    Invoke,
    Map,
    Node,
    Parallel,
    Queue,
    Render,
    RetryPolicy,
    RunAgent,
    RunChat,
    RunTool,
)
from app.invokers.llm import BUILT_IN_PROFILES
from app.invokers.pool import check_class


class CodeTemplateReader(TemplateReader):
    """Reads the templates of one flow.

    A text is the path of a file; a list is a chain; an object has the form that it would have in a
    manifest; a function is a call; the classes of `app.flows.template` are what they are. All of
    them nest.
    """

    def __init__(self, folder: TemplateFolder, findings: Findings) -> None:
        super().__init__(findings)
        self._folder = folder
        self._forms["call"] = self._call
        self._forms["leaf"] = self._leaf

    @override
    def _bare(self, text: str, loc: Loc) -> Render | Invoke | None:
        """A text alone is the path of a file."""
        return self._folder.read(text, loc)

    @override
    def _form(self, value: object, loc: Loc) -> dict[Any, Any] | None:
        form = _as_form(value)
        if isinstance(form, dict):
            return form
        self._findings.error(loc, f"a {type(value).__name__} is no template")
        return None

    @override
    def _invoke(self, value: dict[str, Any], loc: Loc) -> Node | None:
        text = value.get("template")
        if isinstance(text, str) and self._folder.holds(text):
            self._findings.error(
                loc,
                f"{text!r} is a file, but with an invoker the template is the text itself;"
                " write the path alone and name the invoker in its meta.yaml",
            )
        return super()._invoke(value, loc)

    def _call(self, value: dict[str, Any], loc: Loc) -> Node | None:
        self._findings.members(value, loc, ("call",))
        function = value["call"]
        if isinstance(function, str):
            function = self._function(function, (*loc, "call"))
        elif not callable(function):
            self._findings.error((*loc, "call"), f"a {type(function).__name__} is no function")
            return None
        return None if function is None else Call(function)

    def _leaf(self, value: dict[str, Any], loc: Loc) -> Node | None:
        """A leaf that has no form in manifests."""
        node = value["leaf"]
        if not isinstance(node, Converse | RunTool):
            self._findings.error((*loc, "leaf"), "must be a Converse or a RunTool")
            return None
        return node

    def _function(self, path: str, loc: Loc) -> Callable[..., Any] | None:
        module, _, name = path.rpartition(".")
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            self._findings.error(loc, f"there is no function {path!r}: {error}")
            return None
        if not callable(found):
            self._findings.error(loc, f"{path!r} is no function")
            return None
        return found  # type: ignore[no-any-return] # callable, which is all that is asked

    @override
    def _check_text(self, text: str, loc: Loc) -> None:
        self._folder.check(text, loc)

    @override
    def _check_invoker(self, name: str, loc: Loc) -> None:
        if "." in name and (fault := check_class(name)):
            self._findings.error(loc, fault)

    @override
    def _check_config(self, invoker: str, config: dict[str, Any], loc: Loc) -> None:
        """Finds nothing: a class of the package reads its config itself when it is made."""


def _as_form(value: object) -> object:
    """What is written in Python as a manifest would have it; what is no template as it is."""
    match value:
        case list():
            return {"chain": value}
        case Invoke() | Chain() | Parallel() | Map() | Queue():
            return _form_of(value)
        case Call() | Ask() | RunAgent() | RunChat() | Converse() | RunTool():
            return _form_of(value)
        case _:
            return {"call": value} if callable(value) else value


def _form_of(node: Node) -> dict[str, Any]:
    match node:
        case Chain(parts):
            return {"chain": list(parts)}
        case Parallel(keyed):
            return {"parallel": keyed}
        case Map(over, part, index, item):
            fields = {"index_field": index, "value_field": item}
            return {"map": {"over": over, "template": part, **fields}}
        case Queue(name, part):
            return {"queue": name, "template": part}
        case _:
            return _leaf_form(node)


def _leaf_form(
    node: Invoke | Call | Ask | RunAgent | RunChat | Converse | RunTool,
) -> dict[str, Any]:
    match node:
        case Invoke(text, invoker, config, timeout, retries, retry):
            form = {"invoke": invoker, "template": text, "config": config}
            return form | {"timeout": timeout, "retries": retries, "retry": _retry_form(retry)}
        case Call(function):
            return {"call": function}
        case Ask():
            return {"ask": asdict(node)}
        case RunAgent():
            return asdict(node)
        case RunChat(text, profile, tools, seconds):
            invoker = BUILT_IN_PROFILES.get(profile, profile)
            return {"invoke": invoker, "template": text, "tools": tools, "timeout": seconds}
        case Converse() | RunTool():
            return {"leaf": node}


def _retry_form(policy: RetryPolicy | None) -> dict[str, Any] | None:
    if policy is None:
        return None
    return asdict(policy) | {"on": None if policy.on is None else list(policy.on)}

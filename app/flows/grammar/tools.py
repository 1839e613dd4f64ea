"""The grammar of `tools` beside `invoke`: a model that may call tools, in a session of its own."""

from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter, ValidationError

from app.errors import Loc
from app.flows.findings import Findings
from app.flows.template import RunChat
from app.invokers.llm import BUILT_IN_PROFILES
from app.invokers.template_config import BUILT_IN
from app.wire.tools import Tools

MIN_SECONDS = 0.001
MAX_SECONDS = 366 * 24 * 3600

_KNOWN = ("invoke", "template", "tools", "timeout")
_TOOLS: TypeAdapter[Any] = TypeAdapter(Tools)
_PROFILES = {invoker: profile for profile, invoker in BUILT_IN_PROFILES.items()}


def read_run_chat(
    findings: Findings,
    value: dict[str, Any],
    loc: Loc,
    read_text: Callable[[object, Loc], str | None],
) -> RunChat | None:
    """The turn of a model with tools; None where something is wrong with it.

    Args:
        findings: where faults go.
        value: with `invoke`, whose name is known, and `tools`.
        loc: of it.
        read_text: reads the Jinja2 text at a place.
    """
    # Each of its requests has the model's own config, and is tried again by itself.
    given = findings.members(value, loc, _KNOWN)
    text = read_text(given.get("template"), (*loc, "template"))
    timeout = findings.number(given.get("timeout"), (*loc, "timeout"), MIN_SECONDS, MAX_SECONDS)
    tools = _tools(findings, given["tools"], (*loc, "tools"))
    name = given["invoke"]
    if name in BUILT_IN and name not in _PROFILES:
        findings.error((*loc, "tools"), f"{name} calls no tools")
        return None
    if text is None or tools is None:
        return None
    return RunChat(text, _PROFILES.get(name, name), tools, timeout)


def _tools(findings: Findings, value: object, loc: Loc) -> list[str | dict[str, Any]] | None:
    if not value:
        findings.error(loc, "names no tool")
        return None
    try:
        tools = _TOOLS.validate_python(value)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_context=False, include_input=False):
            findings.error((*loc, *fault["loc"]), fault["msg"])
        return None
    written: list[str | dict[str, Any]] = _TOOLS.dump_python(tools, mode="json", exclude_unset=True)
    return written

"""The grammar of `agent`: a step that an agent of the org does in a session of its own."""

from collections.abc import Callable
from typing import Any

from app.errors import Loc
from app.flows.findings import Findings
from app.flows.template import RunAgent

MIN_SECONDS = 0.001
MAX_SECONDS = 366 * 24 * 3600
MAX_NAME = 200
MAX_VALUES = 500

_KNOWN = ("agent", "values", "timeout")

ReadText = Callable[[object, Loc], str | None]


def read_agent(
    findings: Findings, value: dict[str, Any], loc: Loc, read_text: ReadText
) -> RunAgent | None:
    """The call of an agent; None where something is wrong with it.

    Args:
        findings: where faults go.
        value: with `agent`.
        loc: of it.
        read_text: reads the Jinja2 text at a place.
    """
    given = findings.members(value, loc, _KNOWN)
    timeout = findings.number(given.get("timeout"), (*loc, "timeout"), MIN_SECONDS, MAX_SECONDS)
    values = given.get("values")
    values = {} if values is None else findings.mapping(values, (*loc, "values"))
    if len(values) > MAX_VALUES:
        findings.error((*loc, "values"), f"has more than {MAX_VALUES} members")
        return None
    texts = {name: read_text(text, (*loc, "values", name)) for name, text in values.items()}
    name = given["agent"]
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        findings.error((*loc, "agent"), "must be the name of an agent")
        return None
    whole = {name: text for name, text in texts.items() if text is not None}
    return RunAgent(name, whole, timeout) if len(whole) == len(texts) else None

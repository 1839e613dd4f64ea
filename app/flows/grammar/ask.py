"""The grammar of `ask`: a step that a person's answer finishes."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar

from app.enums import ActionExpiry, Approvers
from app.errors import Loc
from app.flows.findings import Findings
from app.flows.template import Ask
from app.kit.invalid import InvalidValueError
from app.kit.schemas.json_schema import check_schema

MIN_SECONDS = 0.001
MAX_SECONDS = 366 * 24 * 3600  # as an agent's `approval_timeout`

_KNOWN = ("schema", "message", "expires", "on_expiry", "approvers")
# To deny is a person's answer: a step that nobody answered has none.
_EXPIRIES = (ActionExpiry.FAIL, ActionExpiry.CANCEL)

ReadText = Callable[[object, Loc], str | None]
WordT = TypeVar("WordT", bound=StrEnum)


def read_ask(findings: Findings, value: object, loc: Loc, read_text: ReadText) -> Ask | None:
    """The question of a template; None where something is wrong with it.

    Args:
        findings: where faults go.
        value: what `ask` has.
        loc: of it.
        read_text: reads the Jinja2 text at a place.
    """
    given = findings.members(value, loc, _KNOWN)
    message = read_text(given.get("message"), (*loc, "message"))
    schema = _schema(findings, given.get("schema"), (*loc, "schema"))
    expires = findings.number(given.get("expires"), (*loc, "expires"), MIN_SECONDS, MAX_SECONDS)
    expiry = _word(findings, given.get("on_expiry"), (*loc, "on_expiry"), _EXPIRIES)
    approvers = _word(findings, given.get("approvers"), (*loc, "approvers"), tuple(Approvers))
    if message is None or schema is None:
        return None
    return Ask(message, schema, expires, expiry or ActionExpiry.FAIL, approvers)


def _schema(findings: Findings, value: object, loc: Loc) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        findings.error(loc, "must be a JSON Schema, an object")
        return None
    try:
        check_schema(value, of_object=False)
    except InvalidValueError as error:
        findings.error(loc, str(error))
        return None
    return value


def _word(findings: Findings, value: object, loc: Loc, known: tuple[WordT, ...]) -> WordT | None:
    if value is None:
        return None
    for word in known:
        if value == word:
            return word
    findings.error(loc, f"must be one of {', '.join(known)}")
    return None

"""Guards and actions of a manifest's statechart: expressions, `assign` and `if`, nothing else."""

from typing import Any

from statemachine.io.evaluators import protected_attrs

from app.errors import Loc
from app.flows.findings import Findings
from app.flows.manifest.expression import ExpressionError, compile_expression
from app.flows.manifest.facade import INPUTS

MAX_ACTIONS = 50
MAX_EXPRESSION_CHARS = 50_000  # of all together: parsing takes about 5 µs for each

_REFUSED = {
    "script": "code in a manifest is never run",
    "raise": "raising events is not supported; use a transition without an event",
    "send": "sending events is not supported; use a transition without an event",
    "cancel": "there is nothing to cancel",
    "log": "logging is not supported",
    "foreach": "loops are not supported; a map template goes over lists",
}


class ContentChecker:
    """Checks guards and actions.

    Args:
        fields: the fields of the flow's model.
        findings: where faults go.
    """

    def __init__(self, fields: frozenset[str], findings: Findings) -> None:
        self._fields = fields
        self._names = fields | INPUTS
        self._findings = findings
        self._left = MAX_EXPRESSION_CHARS

    def guard(self, value: object, loc: Loc) -> None:
        """One expression, or a list of which all must hold."""
        if isinstance(value, list):
            for index, item in enumerate(self._bound(value, loc)):
                self._expression(item, (*loc, index))
        elif value is not None:
            self._expression(value, loc)

    def actions(self, value: object, loc: Loc) -> None:
        """One action, or a list of them."""
        if isinstance(value, list):
            for index, item in enumerate(self._bound(value, loc)):
                self._action(item, (*loc, index))
        elif value is not None:
            self._action(value, loc)

    def _bound(self, value: list[Any], loc: Loc) -> list[Any]:
        if len(value) > MAX_ACTIONS:
            self._findings.error(loc, f"holds at most {MAX_ACTIONS} items")
        return value[:MAX_ACTIONS]

    def _action(self, action: object, loc: Loc) -> None:
        if isinstance(action, str):
            self._findings.error(loc, "methods cannot be named in a manifest; use `assign`")
        elif not isinstance(action, dict) or len(action) != 1:
            self._findings.error(loc, "must be an object with one key: assign or if")
        elif "assign" in action:
            self._assign(action["assign"], (*loc, "assign"))
        elif "if" in action:
            self._if(action["if"], (*loc, "if"))
        else:
            key = next(iter(action))
            reason = _REFUSED.get(key, "is not known here; known are assign, if")
            self._findings.error((*loc, key), reason)

    def _assign(self, value: object, loc: Loc) -> None:
        given = self._findings.members(value, loc, ("location", "expr"))
        location = given.get("location")
        if not isinstance(location, str) or location not in self._fields:
            self._findings.error((*loc, "location"), "must be the name of a field of the model")
        elif location in protected_attrs:
            reason = "the statechart keeps this name for itself; rename the field"
            self._findings.error((*loc, "location"), reason)
        self._expression(given.get("expr"), (*loc, "expr"))

    def _if(self, value: object, loc: Loc) -> None:
        given = self._findings.members(value, loc, ("cond", "then", "elif", "else"))
        self._branch(given, loc)
        if given.get("elif") is not None:
            where = (*loc, "elif")
            branches = self._bound(self._findings.items(given["elif"], where), where)
            for index, branch in enumerate(branches):
                known = self._findings.members(branch, (*where, index), ("cond", "then"))
                self._branch(known, (*where, index))
        self.actions(given.get("else"), (*loc, "else"))

    def _branch(self, given: dict[str, Any], loc: Loc) -> None:
        self._expression(given.get("cond"), (*loc, "cond"))
        self.actions(given.get("then"), (*loc, "then"))

    def _expression(self, text: object, loc: Loc) -> None:
        self._left -= len(text) if isinstance(text, str) else 0
        if self._left < 0:
            reason = f"all expressions together have more than {MAX_EXPRESSION_CHARS} characters"
            self._findings.error(loc, reason)
            return
        try:
            compile_expression(text, self._names)
        except ExpressionError as error:
            self._findings.error(loc, str(error))

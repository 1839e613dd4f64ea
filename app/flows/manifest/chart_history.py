"""Reads a history state of a manifest's statechart."""

from app.errors import Loc
from app.flows.findings import Findings
from app.flows.manifest.chart import ChartHistory, ChartState

TYPES = ("shallow", "deep")


def read_history(
    findings: Findings, history_id: str, value: object, loc: Loc, parent: ChartState
) -> ChartHistory:
    """A history state, as far as it can be read; where it begins is checked by its reader.

    Args:
        findings: where faults go.
        history_id: what transitions call it.
        value: its type, and one transition without conditions to where it begins.
        loc: of it.
        parent: the state whose history it is.
    """
    given = findings.members({} if value is None else value, loc, ("type", "transitions"))
    kind = given.get("type", TYPES[0])
    if kind not in TYPES:
        findings.error((*loc, "type"), f"must be one of {', '.join(TYPES)}")
    target = None
    if given.get("transitions") is not None:
        where = (*loc, "transitions")
        transitions = findings.items(given["transitions"], where)
        if len(transitions) != 1:
            findings.error(where, "must hold one transition: to where it begins")
        else:
            target = findings.members(transitions[0], (*where, 0), ("target",)).get("target", "")
    if target is not None and not isinstance(target, str):
        findings.error((*loc, "transitions", 0, "target"), "must be the id of a state")
        target = None
    return ChartHistory(history_id, loc, parent, kind == "deep", target)

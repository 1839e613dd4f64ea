"""Reads and checks the timers of a manifest's states: `after`."""

from collections.abc import Iterator, Mapping
from typing import Any

from app.errors import Loc
from app.flows.findings import Findings
from app.flows.machine import ERROR_EVENT
from app.flows.manifest.chart import Chart, ChartState, ChartTimer
from app.flows.template import Render, Template
from app.flows.timers import MAX_PENDING, MAX_PER_FLOW, MAX_PER_STATE, Timer, read_duration
from app.kit.invalid import InvalidValueError


def read_timers(findings: Findings, value: object, loc: Loc) -> list[ChartTimer]:
    """The timers of a state: `{24h: remind}`, or a list of objects with delay and event."""
    entries = list(_entries(findings, value, loc))
    if len(entries) > MAX_PER_STATE:
        findings.error(loc, f"a state has at most {MAX_PER_STATE} timers")
    read = (_timer(findings, *entry) for entry in entries[:MAX_PER_STATE])
    return [timer for timer in read if timer is not None]


def timers_of(value: Any) -> list[Timer]:
    """The timers of a state that was checked."""
    entries = _entries(Findings(), value, ())
    return [Timer(event, read_duration(delay)) for delay, event, *_ in entries]


def check_timers(
    chart: Chart,
    templates: Mapping[str, Template | None],
    endings: Mapping[str, str],
    findings: Findings,
) -> None:
    """Checks that timers are of states that wait for somebody, and send what is taken there.

    Args:
        chart: the statechart.
        templates: by state.
        endings: the events that end invocations, with a state of which each does.
        findings: where faults go.
    """
    states = [state for state in chart.states.values() if state.timers]
    if sum(len(state.timers) for state in states) > MAX_PER_FLOW:
        findings.error(states[0].loc, f"a flow has at most {MAX_PER_FLOW} timers")
    for leaf in chart.leaves():
        if sum(len(state.timers) for state in leaf.line()) > MAX_PENDING:
            findings.error(leaf.loc, f"more than {MAX_PENDING} timers would run in it")
    for state in states:
        template = templates.get(state.id)
        if state.final:
            findings.error((*state.loc, "after"), "a final state has no timers")
        elif template is not None and not isinstance(template, Render):
            reason = f"state {state.id!r} is left when its invocation ends"
            findings.error((*state.loc, "after"), f"{reason}; give its template a `timeout`")
        else:
            _check_events(state, endings, findings)


def _check_events(state: ChartState, endings: Mapping[str, str], findings: Findings) -> None:
    taken = {event for leaf in state.leaves() for event in leaf.events()}
    for timer in state.timers:
        if timer.event in endings:
            reason = f"ends the invocation of {endings[timer.event]!r}: nothing else may send it"
        elif timer.event == ERROR_EVENT:
            reason = f"{ERROR_EVENT!r} is only for failures"
        elif timer.event not in taken:
            reason = (
                f"no transition of state {state.id!r}, or of one around or in it, is taken on it"
            )
        else:
            continue
        findings.error(timer.loc, reason)


def _entries(findings: Findings, value: object, loc: Loc) -> Iterator[tuple[Any, Any, Loc, Loc]]:
    """What is written for each timer: its delay and event, and the places of both."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            place = (*loc, index)
            given = findings.members(item, place, ("delay", "event"))
            yield given.get("delay"), given.get("event"), (*place, "delay"), (*place, "event")
        return
    for delay, event in findings.mapping(value, loc).items():
        yield delay, event, (*loc, delay), (*loc, delay)


def _timer(
    findings: Findings, delay: object, event: object, delay_loc: Loc, event_loc: Loc
) -> ChartTimer | None:
    try:
        read_duration(delay)
    except InvalidValueError as error:
        findings.error(delay_loc, str(error))
        return None
    if not isinstance(event, str):
        findings.error(event_loc, "must be the name of an event")
        return None
    return ChartTimer(event_loc, event)

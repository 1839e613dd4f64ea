"""What must hold of a statechart and its templates together, so that no session ends up stuck."""

from collections.abc import Mapping

from app.errors import Loc
from app.flows.findings import Findings
from app.flows.machine import ERROR_EVENT, ending_event
from app.flows.manifest.chart import Chart, ChartState
from app.flows.manifest.chart_timers import check_timers
from app.flows.template import Render, Template


class ChartChecks:
    """Checks across states.

    Args:
        chart: the statechart, as far as it could be read.
        templates: by state, those that could be read; None for one that is wrong.
        findings: where faults go.
        loc: of the templates.
    """

    def __init__(
        self,
        chart: Chart,
        templates: Mapping[str, Template | None],
        findings: Findings,
        loc: Loc,
    ) -> None:
        self._chart = chart
        self._templates = templates
        self._findings = findings
        self._loc = loc

    def run(self) -> None:
        """Runs them all."""
        self._pair()
        for state in self._chart.leaves():
            template = self._templates.get(state.id)
            if isinstance(template, Render):
                self._check_waiting(state)
            elif template is not None:
                self._check_invoking(state)
        check_timers(self._chart, self._templates, self._endings(), self._findings)
        self._check_rest()
        self._check_cycles()
        self._check_reach()

    def _pair(self) -> None:
        """Checks that each innermost state has a template, and each template such a state."""
        for state in self._chart.leaves():
            if state.id not in self._templates:
                self._findings.error(state.loc, f"state {state.id!r} has no template")
        for name in self._templates:
            state_of = self._chart.states.get(name)
            if state_of is None:
                self._findings.error((*self._loc, name), f"there is no state {name[:100]!r}")
            elif state_of.children:
                reason = "the templates of a state with states inside are those of the inner ones"
                self._findings.error((*self._loc, name), reason)

    def _check_waiting(self, state: ChartState) -> None:
        """A state in which the user acts."""
        endings = self._endings()
        for transition in state.transitions:
            for event in transition.events:
                if event in endings:
                    reason = f"{event!r} ends the invocation of {endings[event]!r}: no client"
                    self._findings.error(
                        (*transition.loc, "event"),
                        f"{reason} may send it, so that this transition is never taken",
                    )
        if not state.final and not any(state.possible()):
            reason = f"nothing leads out of state {state.id!r}; say `final: true` if it is the end"
            self._findings.warn(state.loc, reason)

    def _check_invoking(self, state: ChartState) -> None:
        """A state that is left when its invocation ends."""
        event = ending_event(state.events())
        if event is None:
            reason = f"state {state.id!r} invokes something, but no event leaves it"
            self._findings.error(state.loc, f"{reason} ({ERROR_EVENT!r} is only for failures)")
            return
        for transition in state.automatic():
            reason = f"state {state.id!r} invokes something, and is left by its event only"
            self._findings.error(transition.loc, reason)
        ending = [one for one in state.possible() if event in one.events]
        if all(one.guarded for one in ending):
            reason = f"when no guard of {event!r} holds, the result of {state.id!r} is refused"
            self._findings.warn(state.loc, f"{reason}; add a last transition without a guard")
        unused = [one for one in state.events() if one not in {event, ERROR_EVENT}]
        if unused:
            others = ", ".join(unused)
            reason = f"only {event!r}, the first, is ever sent to a state that invokes"
            self._findings.warn(state.loc, f"{reason}; never: {others}")

    def _check_rest(self) -> None:
        """Checks that some state invokes nothing: else a failure has nowhere to lead."""
        templates = [self._templates.get(state.id) for state in self._chart.leaves()]
        if templates and not any(one is None or isinstance(one, Render) for one in templates):
            reason = "every state invokes something; one has to wait for the user, or be the end"
            self._findings.error(self._loc, reason)

    def _endings(self) -> dict[str, str]:
        """The events that end invocations, and a state of which each does."""
        found = {}
        for state in self._chart.leaves():
            template = self._templates.get(state.id)
            if template is None or isinstance(template, Render):
                continue
            if (event := ending_event(state.events())) is not None:
                found[event] = state.id
        return found

    def _check_cycles(self) -> None:
        """Transitions without events that lead round in a circle would never end."""
        done: set[str] = set()
        for state in self._chart.leaves():
            trail: list[str] = []
            self._follow(state, trail, done)

    def _follow(self, leaf: ChartState, trail: list[str], done: set[str]) -> None:
        if leaf.id in done:
            return
        trail.append(leaf.id)
        for transition in leaf.automatic():
            for following in self._chart.after(leaf, transition):
                if following.id in trail:
                    circle = " → ".join([*trail[trail.index(following.id) :], following.id])
                    reason = f"transitions without events go round for ever: {circle[:200]}"
                    self._findings.error(transition.loc, reason)
                else:
                    self._follow(following, trail, done)
        trail.pop()
        done.add(leaf.id)

    def _check_reach(self) -> None:
        """States that no path leads to."""
        start = self._chart.initial()
        if start is None:
            return
        reached = {start.id: start}
        waiting = [start]
        while waiting:
            leaf = waiting.pop()
            following = [s for one in leaf.possible() for s in self._chart.after(leaf, one)]
            waiting += [state for state in following if state.id not in reached]
            reached |= {state.id: state for state in following}
        for state in self._chart.leaves():
            if state.id not in reached:
                reason = f"state {state.id!r} cannot be reached from the initial state"
                self._findings.warn(state.loc, reason)

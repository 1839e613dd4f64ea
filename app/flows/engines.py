"""The statechart library's engines, which note what those who send an event cannot see otherwise.

That is which guard refused it, and which states were left and entered: one that was left and
entered again looks as if nothing had happened to it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from statemachine import State, StateChart
from statemachine.callbacks import CallbackWrapper
from statemachine.engines.async_ import AsyncEngine
from statemachine.engines.base import BaseEngine, StateTransition, _EntryPlan
from statemachine.engines.sync import SyncEngine
from statemachine.event_data import TriggerData
from statemachine.orderedset import OrderedSet
from statemachine.transition import Transition
from typing_extensions import override

from app.flows.timers import Timer


@dataclass(frozen=True, slots=True)
class GuardRefusal:
    """A guard that refused an event, as it is written, and what the flow says of it."""

    state: str
    guard: str
    text: str


@dataclass(slots=True)
class ChartNotes:
    """What an engine noted since it was made, for one event.

    Attributes:
        refusal: of the guard that refused it.
        left: the states that were left, by id.
        entered: those that were entered, as far as they were not left since.
        delayed: the events that the flow's code sends with a delay.
        cancelled: the ids by which it cancels such events.
    """

    refusal: GuardRefusal | None = None
    left: set[str] = field(default_factory=set)
    entered: dict[str, None] = field(default_factory=dict)
    delayed: list[Timer] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)


class _NotingEngine(BaseEngine):
    """What both engines have in common."""

    def __init__(self, machine: StateChart[Any]) -> None:
        super().__init__(machine)
        self.notes = ChartNotes()

    @override
    def _prepare_exit_states(
        self, enabled_transitions: list[Transition]
    ) -> tuple[list[StateTransition], OrderedSet[State]]:
        ordered, states = super()._prepare_exit_states(enabled_transitions)
        for state in states:
            self.notes.left.add(state.id)
            self.notes.entered.pop(state.id, None)
        return ordered, states

    @override
    def _prepare_entry_states(
        self,
        enabled_transitions: list[Transition],
        states_to_exit: OrderedSet[State],
        previous_configuration: OrderedSet[State],
    ) -> _EntryPlan:
        plan = super()._prepare_entry_states(
            enabled_transitions, states_to_exit, previous_configuration
        )
        self.notes.entered.update((one.state.id, None) for one in plan[0])
        return plan

    def _guards(self, transition: Transition, trigger: TriggerData) -> Iterable[CallbackWrapper]:
        """The guards of a transition that does not match, to find out which of them fails.

        None are, where a transition before it was refused, or nobody sent an event.
        """
        refusals = type(self.sm).refusals  # type: ignore[attr-defined]
        if self.notes.refusal is not None or not refusals or trigger.event is None:
            return ()
        return self.sm._callbacks._registry[transition.cond.key]  # noqa: SLF001 - no public way

    def _note(self, transition: Transition, guard: CallbackWrapper) -> None:
        """Takes over what the flow says of a guard that failed, if it does."""
        state, written = transition.source.id, str(guard.meta)
        texts = type(self.sm).refusals  # type: ignore[attr-defined]
        text = texts.get((state, transition.event, written)) or texts.get(written)
        if text is not None:
            self.notes.refusal = GuardRefusal(state, written, text)


class SyncSessionEngine(_NotingEngine, SyncEngine):
    """The engine of a chart without async callbacks."""

    @override
    def _conditions_match(self, transition: Transition, trigger_data: TriggerData) -> Any:
        if super()._conditions_match(transition, trigger_data):
            self.notes.refusal = None
            return True
        for guard in self._guards(transition, trigger_data):
            args, kwargs = self._get_args_kwargs(transition, trigger_data)
            if not guard.call(*args, **kwargs):  # type: ignore[no-untyped-call]  # the library's
                self._note(transition, guard)
                break
        return False


class AsyncSessionEngine(_NotingEngine, AsyncEngine):
    """The engine of a chart that has some."""

    @override
    async def _conditions_match(self, transition: Transition, trigger_data: TriggerData) -> Any:
        if await super()._conditions_match(transition, trigger_data):
            self.notes.refusal = None
            return True
        for guard in self._guards(transition, trigger_data):
            args, kwargs = await self._get_args_kwargs(transition, trigger_data)
            if not await guard(*args, **kwargs):
                self._note(transition, guard)
                break
        return False

"""A flow, compiled: what the engine asks of it, whether it came as code or as a manifest."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from statemachine.exceptions import TransitionNotAllowed
from statemachine.orderedset import OrderedSet
from structlog import get_logger

from app.errors import (
    BadRequestError,
    EventNotAcceptedError,
    EventRefusedError,
    FieldError,
    StatewrightError,
    is_public,
    public_text,
)
from app.flows.engines import GuardRefusal
from app.flows.machine import SessionMachine, recall, remembered
from app.flows.model.session_model import SessionModel
from app.flows.move import Move, Recording
from app.flows.own_code import OwnCode
from app.flows.rendering.jinja import TemplateRenderer
from app.flows.states import FlowStates
from app.flows.template import Template
from app.flows.timers import StartedTimer
from app.sizes.limit import exceeds

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Entered:
    """What one event did: the states before and after, and what the dialogue keeps of it.

    Attributes:
        move: what the model decided, where it does.
        left: the ids of the states that were left, also where they were entered again.
        timers: those that it started.
        cancelled: the ids by which it cancels delayed events.
    """

    target: str
    recording: Recording
    source: str | None = None
    messages: list[tuple[str, str]] = field(default_factory=list)
    move: Move = field(default_factory=lambda: Move(""))
    left: frozenset[str] = frozenset()
    timers: Sequence[StartedTimer] = ()
    cancelled: frozenset[str] = frozenset()


# What of a transition goes into the dialogue: (from, to) an invoker state?
_MATRIX = {
    (False, False): Recording.RENDERED,
    (False, True): Recording.RAW,
    (True, False): Recording.RENDERED,
    (True, True): Recording.NONE,
}


# Parts and characters that a hundred long expressions look at many times within 20 ms.
_LITTLE = 500


class Flow(FlowStates):
    """A statechart with a session model and a template for each state.

    Args:
        key: what the flow is called in URLs.
        revision: 0 for flows in code; manifests count from 1.
        fingerprint: of the code, for flows in code.
        trusted: code of ours or of the user's own package, not a manifest.
        bind: makes what the machine is bound to for one event; the model itself if it is trusted.
    """

    def __init__(
        self,
        *,
        key: str,
        revision: int,
        machine: type[SessionMachine],
        model: type[SessionModel],
        templates: dict[str, Template],
        renderer: TemplateRenderer,
        trusted: bool,
        description: str | None = None,
        fingerprint: str | None = None,
        bind: Callable[[SessionModel], Any] | None = None,
    ) -> None:
        super().__init__(key, revision, machine, templates)
        self.model = model
        self.renderer = renderer
        self.trusted = trusted
        self.description = description
        self.fingerprint = fingerprint
        self._subject = bind or (lambda model: model)
        # By state and event ("" for the start): outcomes that nothing but those two decide.
        self._fixed: dict[tuple[str | None, str], Entered] = {}
        # By state, event and what the model decided.
        self._targets: dict[tuple[str, str, str], str] = {}

    def seed(self, seed_data: dict[str, Any]) -> SessionModel:
        """The model of a new session.

        Raises:
            BadRequestError: the flow does not take the data.
        """
        try:
            made = OwnCode(self.key).call(lambda: self.model.seed(seed_data))
            return self._check_model(made)
        except StatewrightError:
            raise
        except Exception as error:  # the flow's own code
            log.exception("the flow's code failed", flow=self.key)
            detail = f"The flow does not take the seed data: {_reason(error)}"
            fault: FieldError = {"loc": ["seed_data"], "msg": detail}
            raise BadRequestError(detail, errors=[fault]) from error

    def _check_model(self, made: object) -> SessionModel:
        if not isinstance(made, self.model):
            raise TypeError("seed() returns the model")
        return made

    async def initial_state(self) -> str:
        """The state that a new session is in, where no hook of the flow has a say."""
        return (await self.start(self.model())).target

    async def start(self, model: SessionModel) -> Entered:
        """Enters the initial state.

        Raises:
            EventRefusedError: a hook of the flow failed.
        """
        if (known := self._fixed.get((None, ""))) is not None:
            return known
        try:
            code = OwnCode(self.key)
            machine = await self._run(code, model, lambda: self._bind(model, None, actor_input=""))
            # A chart without async callbacks has entered it already.
            if not machine.configuration_values:
                await code.run(machine.activate_initial_state)
        except StatewrightError:
            raise
        except Exception as error:  # the flow's own code
            log.exception("the flow's code failed", flow=self.key, session_id=model.session_id)
            raise EventRefusedError(
                f"Flow {self.key!r} does not start: {_reason(error)}"
            ) from error
        target = _encode(machine)
        recording = Recording.NONE if self.invokes(target) else Recording.RENDERED
        entered = Entered(
            target,
            machine.recording or recording,
            messages=machine.messages,
            timers=self._started_timers(machine, target),
        )
        if machine.is_plain or machine.is_decided_by_model():
            self._fixed[None, ""] = entered
        return entered

    async def send(
        self, state: str, model: SessionModel, event: str, actor_input: str, *, internal: bool
    ) -> Entered:
        """Sends an event; `internal` is the engine's own right to end an invocation.

        Raises:
            EventNotAcceptedError: the state does not take the event; nothing changed.
            EventRefusedError: a hook, guard, validator or action of the flow failed.
            DefinitionMismatchError: the stored state is not in this flow.
        """
        # The library takes any attribute of the machine for an event of that name.
        if event not in self._events(state) or (event in self.internal_events and not internal):
            raise self._refusal(state, event)
        if (known := self._fixed.get((state, event))) is not None:
            return known
        machine: SessionMachine | None = None
        try:
            code = OwnCode(self.key, state)
            move = code.call(lambda: self.machine.decide(model, event, actor_input))
            if move is not None:
                return await self._enter_decided(code, state, model, event, move)
            machine = self._bind(model, state)
            # By name for hooks of ours; in `event_data.args`, as the reference engine has it.
            send = partial(machine.send, event, actor_input, actor_input=actor_input)
            await self._run(code, model, send)
        except TransitionNotAllowed as error:
            refusal = machine.chart_notes.refusal if machine is not None else None
            raise self._refusal(state, event, refusal) from error
        except StatewrightError as error:
            error.extra = self._situation(state, event) | error.extra
            raise
        except Exception as error:  # the flow's own code
            log.exception("the flow's code failed", flow=self.key, session_id=model.session_id)
            detail = f"State {state!r} does not take the event {event!r}: {_reason(error)}"
            raise EventRefusedError(detail, extra=self._situation(state, event)) from error
        return self._entered(machine, state, model, event)

    async def _run(self, code: OwnCode, model: SessionModel, function: Callable[[], Any]) -> Any:
        """Runs the chart; in a thread, where a manifest's expressions may have much to look at."""
        if not self.trusted and exceeds([model, model.user_info], _LITTLE):
            return await asyncio.to_thread(function)
        return await code.run(function)

    def _entered(
        self, machine: SessionMachine, state: str, model: SessionModel, event: str
    ) -> Entered:
        """What an event did that the machine was sent; kept, where it is always the same."""
        if self.has_history:
            model._history = remembered(machine)  # noqa: SLF001 - the engine's own attribute
        target = _encode(machine)
        recording = machine.recording or _MATRIX[self.invokes(state), self.invokes(target)]
        notes = machine.chart_notes
        entered = Entered(
            target,
            recording,
            state,
            machine.messages,
            left=frozenset(notes.left),
            timers=self._started_timers(machine, target),
            cancelled=frozenset(notes.cancelled),
        )
        if machine.is_plain and not self.has_history:
            self._fixed[state, event] = entered
        return entered

    def _started_timers(self, machine: SessionMachine, target: str) -> list[StartedTimer]:
        """The timers that a machine started: of states, and those that its code sent."""
        notes, innermost = machine.chart_notes, self.state_id(target)
        sent = [StartedTimer(innermost, timer) for timer in notes.delayed]
        return [*self.timers(notes.entered), *sent]

    async def _enter_decided(
        self, code: OwnCode, state: str, model: SessionModel, event: str, move: Move
    ) -> Entered:
        """Where an event leads that the model has decided: the chart is asked once."""
        target = self._targets.get((state, event, move.key))
        if target is None:
            machine = self._bind(model, state)
            machine.move = move
            await code.run(lambda: machine.send(event, actor_input=""))
            target = self._targets[state, event, move.key] = _encode(machine)
        return Entered(target, move.recording, state, move=move)

    def _bind(self, model: SessionModel, state: str | None, **inputs: Any) -> SessionMachine:
        values: Any = None
        if state is not None:
            values = [self._states[state_id].value for state_id in self._known_ids(state)]
            values = values[0] if len(values) == 1 else OrderedSet(values)
        subject = self._subject(model)
        subject._configuration = values  # noqa: SLF001 - the engine's own attribute
        machine = self.machine(subject, **inputs)
        if self.has_history:
            recall(machine, model._history)  # noqa: SLF001 - the engine's own attribute
        return machine

    def _refusal(
        self, state: str, event: str, refusal: GuardRefusal | None = None
    ) -> EventNotAcceptedError:
        """The error of an event that a state does not take; of a guard, with what that says."""
        situation = self._situation(state, event)
        if refusal is None:
            detail = f"State {state!r} does not take the event {event!r}."
            return EventNotAcceptedError(detail, extra=situation)
        refused_by = {"state": refusal.state, "guard": refusal.guard}
        return EventNotAcceptedError(refusal.text, extra=situation | {"refused_by": refused_by})

    def _situation(self, state: str, event: str) -> dict[str, Any]:
        return {
            "current_state": state,
            "possible_events": self.next_actions(state),
            "received_event": event,
        }


def _encode(machine: SessionMachine) -> str:
    return " ".join(state.id for state in machine.configuration)


def _reason(error: Exception) -> str:
    """What a client reads of an error in the flow's code."""
    text = public_text(error)
    return text if is_public(error) else f"its code failed ({text})"

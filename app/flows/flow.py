"""A flow, compiled: what the engine asks of it, whether it came as code or as a manifest."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from statemachine import State
from statemachine.exceptions import TransitionNotAllowed
from statemachine.orderedset import OrderedSet
from structlog import get_logger

from app.errors import (
    BadRequestError,
    DefinitionMismatchError,
    EventNotAcceptedError,
    EventRefusedError,
    FieldError,
    StatewrightError,
    public_text,
)
from app.flows.machine import ERROR_EVENT, SessionMachine, ending_event, is_library_event
from app.flows.model.session_model import SessionModel
from app.flows.move import Move, Recording
from app.flows.own_code import OwnCode
from app.flows.rendering.jinja import TemplateRenderer
from app.flows.template import Map, Node, Render, RunTool, Template, asks_people

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Entered:
    """What one event did: the states before and after, and what the dialogue keeps of it.

    `move` is what the model decided, where it does.
    """

    target: str
    recording: Recording
    source: str | None = None
    messages: list[tuple[str, str]] = field(default_factory=list)
    move: Move = field(default_factory=lambda: Move(""))


# What of a transition goes into the dialogue: (from, to) an invoker state?
_MATRIX = {
    (False, False): Recording.RENDERED,
    (False, True): Recording.RAW,
    (True, False): Recording.RENDERED,
    (True, True): Recording.NONE,
}


class Flow:
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
        self.key = key
        self.revision = revision
        self.machine = machine
        self.model = model
        self.templates = templates
        self.renderer = renderer
        self.trusted = trusted
        self.description = description
        self.fingerprint = fingerprint
        self._subject = bind or (lambda model: model)
        self._asking = frozenset(state for state, one in templates.items() if asks_people(one))
        self._states: dict[str, State] = {s.id: s for s in machine.states_map.values()}
        # By state and event ("" for the start): outcomes that nothing but those two decide.
        self._fixed: dict[tuple[str | None, str], Entered] = {}
        # By state, event and what the model decided.
        self._targets: dict[tuple[str, str, str], str] = {}
        self.internal_events = frozenset(
            self.ending_event(state)
            for state, template in templates.items()
            if not isinstance(template, Render)
        ) | frozenset(machine.service_events)

    def seed(self, seed_data: dict[str, Any]) -> SessionModel:
        """The model of a new session.

        Raises:
            BadRequestError: the flow does not take the data.
        """
        try:
            made = OwnCode(self.key).call(lambda: self.model.seed(seed_data))
            return self._checked(made)
        except StatewrightError:
            raise
        except Exception as error:  # the flow's own code
            log.exception("the flow's code failed", flow=self.key)
            detail = f"The flow does not take the seed data: {_reason(error)}"
            fault: FieldError = {"loc": ["seed_data"], "msg": detail}
            raise BadRequestError(detail, errors=[fault]) from error

    def _checked(self, made: object) -> SessionModel:
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
            machine = code.call(lambda: self._bind(model, None, actor_input=""))
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
        entered = Entered(target, machine.recording or recording, messages=machine.messages)
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
        try:
            code = OwnCode(self.key, state)
            move = code.call(lambda: self.machine.decide(model, event, actor_input))
            if move is not None:
                return await self._moved(code, state, model, event, move)
            machine = self._bind(model, state)
            await code.run(lambda: machine.send(event, actor_input=actor_input))
        except TransitionNotAllowed as error:
            raise self._refusal(state, event) from error
        except StatewrightError as error:
            error.extra = self._situation(state, event) | error.extra
            raise
        except Exception as error:  # the flow's own code
            log.exception("the flow's code failed", flow=self.key, session_id=model.session_id)
            detail = f"State {state!r} does not take the event {event!r}: {_reason(error)}"
            raise EventRefusedError(detail, extra=self._situation(state, event)) from error
        target = _encode(machine)
        recording = _MATRIX[self.invokes(state), self.invokes(target)]
        recording = machine.recording or recording
        entered = Entered(target, recording, state, machine.messages)
        if machine.is_plain:
            self._fixed[state, event] = entered
        return entered

    async def _moved(
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

    def next_actions(self, state: str) -> list[str]:
        """The events that a client may send in a state, in the order they are declared."""
        return [e for e in self._events(state) if e not in self.internal_events]

    def ending_event(self, state: str) -> str:
        """The event that ends an invocation of a state: its first, but for `error`.

        Raises:
            DefinitionMismatchError: no event leaves the state.
        """
        if (event := ending_event(self._events(state))) is not None:
            return event
        raise DefinitionMismatchError(f"No event leaves state {state!r} of flow {self.key!r}.")

    def takes_error(self, state: str) -> bool:
        """Whether the state says itself what follows when its invocation failed."""
        return ERROR_EVENT in self._events(state)

    def has(self, state: str) -> bool:
        """Whether it is a state of the flow; one that is stored may be another revision's."""
        return all(part in self._states for part in state.split(" "))

    def rests(self, state: str) -> bool:
        """Whether the flow has the state, and somebody can act in it."""
        return self.has(state) and not self.invokes(state) and bool(self.next_actions(state))

    def resting_state(self) -> str | None:
        """The first state in which somebody can act; or else the first that invokes nothing."""
        atomic = [s for s in self._states.values() if not (s.is_compound or s.parallel)]
        waiting = [_path(state) for state in atomic if not state.is_history]
        acting = (state for state in waiting if self.rests(state))
        return next(acting, None) or next((s for s in waiting if not self.invokes(s)), None)

    def template(self, state: str) -> Template:
        """The template of a state (of the innermost one, where states are nested)."""
        return self.templates[_leaf(state)]

    def invokes(self, state: str) -> bool:
        """Whether entering the state starts an invocation."""
        return not isinstance(self.template(state), Render)

    def calls_tools(self, state: str) -> bool:
        """Whether the steps of a state are calls of tools; a state that is gone has none."""
        template = self.templates.get(_leaf(state))
        return isinstance(template, Map) and isinstance(template.part, RunTool)

    def asks(self, state: str) -> bool:
        """Whether a step of a state may ask a person; a state that is gone has none."""
        return _leaf(state) in self._asking

    def node(self, state: str) -> Node:
        """The step tree of an invoker state."""
        template = self.template(state)
        if isinstance(template, Render):
            raise DefinitionMismatchError(f"State {state!r} of {self.key!r} invokes nothing.")
        return template

    def state_name(self, state: str) -> str:
        """The human name of a state."""
        return str(self._states[_leaf(state)].name)

    def _events(self, state: str) -> list[str]:
        found: dict[str, None] = {}
        for state_id in reversed(self._known(state)):
            for transition in self._states[state_id].transitions:
                found.update(dict.fromkeys(str(transition.event or "").split()))
        return [event for event in found if not is_library_event(event)]

    def _known(self, state: str) -> list[str]:
        ids = state.split(" ")
        for state_id in ids:
            if state_id not in self._states:
                raise DefinitionMismatchError(
                    f"The session is in state {state_id!r}, which flow {self.key!r} "
                    f"(revision {self.revision}) does not have."
                )
        return ids

    def _bind(self, model: SessionModel, state: str | None, **inputs: Any) -> SessionMachine:
        values: Any = None
        if state is not None:
            values = [self._states[state_id].value for state_id in self._known(state)]
            values = values[0] if len(values) == 1 else OrderedSet(values)
        subject = self._subject(model)
        subject._configuration = values  # noqa: SLF001 - the engine's own attribute
        return self.machine(subject, **inputs)

    def _refusal(self, state: str, event: str) -> EventNotAcceptedError:
        return EventNotAcceptedError(
            f"State {state!r} does not take the event {event!r}.",
            extra=self._situation(state, event),
        )

    def _situation(self, state: str, event: str) -> dict[str, Any]:
        return {
            "current_state": state,
            "possible_events": self.next_actions(state),
            "received_event": event,
        }


def _encode(machine: SessionMachine) -> str:
    return " ".join(state.id for state in machine.configuration)


def _path(state: State) -> str:
    """The state as it is encoded: with the states around it, from the outside in."""
    return " ".join([*(outer.id for outer in reversed([*state.ancestors()])), state.id])


def _leaf(state: str) -> str:
    return state.rsplit(" ", 1)[-1]


def _reason(error: Exception) -> str:
    """What a client reads of an error in the flow's code, which writes plain ValueErrors for it."""
    text = public_text(error, shown=(ValueError,))
    return text if type(error) is ValueError else f"its code failed ({text})"

"""The base of every flow's statechart: python-statemachine, set to refuse what goes wrong."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from inspect import getattr_static
from types import FunctionType
from typing import Any, ClassVar

from statemachine import StateChart, signature
from statemachine.callbacks import CallbackWrapper
from statemachine.event_data import TriggerData
from typing_extensions import override

from app.enums import MessageRole
from app.errors import MAX_TEXT_CHARS, EventRefusedError
from app.flows.engines import AsyncSessionEngine, ChartNotes, SyncSessionEngine
from app.flows.move import Move, Recording
from app.flows.own_code import contained
from app.flows.timers import MAX_PENDING, RANGE, Timer, checked_seconds
from app.kit.invalid import InvalidValueError
from app.kit.storable import text_fault

# Most events of one move: the one that came, those that hooks send, those of the library.
MAX_EVENTS = 200

# Sent to an invoker state whose invocation failed, if the state takes it.
ERROR_EVENT = "error"

# Sent, by the service alone, where an action is resolved or its time is up. The input is a JSON
# object: `action_id`, and what was decided, if it was.
RESOLVE_EVENT = "resolve_action"

# Who speaks where a flow says something.
_SPEAKERS = (MessageRole.USER, MessageRole.ASSISTANT)

_LIBRARY_EVENTS = frozenset({"*", "error_execution"})
_LIBRARY_PREFIXES = ("done.", "done_state_", "done_invoke_", "error.")

_key_by_names: Callable[[Any], int] = signature._make_key  # noqa: SLF001 - no public way


def _signature_key(method: Any) -> int:
    """What the library keeps a callback's signature by: its names and, here, its place.

    By names alone, of two flows' classes and hooks with the same names the second would be called
    as the first: an async one, without being awaited, would do nothing.
    """
    function = getattr(method, "func", method)
    code = getattr(function, "fget", function).__code__
    return hash((_key_by_names(method), code.co_filename, code.co_firstlineno, code.co_flags))


signature._make_key = _signature_key  # noqa: SLF001 - there is no public way


class SessionMachine(StateChart[Any]):
    """A flow's states and events. Subclass it, declare states, events and `templates`.

    Hooks, guards, validators and actions may be async. They may be run again when another change of
    the session won the race, or when they read a stored value that is not loaded yet, so they must
    not touch the world: that is what steps are for. A hook takes any of `event`, `source`, `target`
    and `actor_input` as arguments (or the library's `event_data`, whose `args` hold the input),
    reads and changes `self.model`, and may call `record` to override what the dialogue keeps of the
    transition, or `say` to add messages of its own. It may send events; one with a delay becomes a
    timer of the state that is entered, unless `cancel_event` is called with its `send_id`. It ends
    within seconds, or the event is refused. A hook, guard or validator that raises an error
    refuses the event: the client reads the text of an `EventRefusedError`, or of another error that
    is made for clients (`errors.public_text`), and of any other only its class.

    Attributes:
        templates: one for each state, by the state's id: a path below the `templates` folder, a
            list of templates (a chain), an object as in a manifest, a function, or a template tree.
        service_events: those that only the service itself sends, for what it has checked.
        refusals: what a client reads whose event is refused, by the guard that refuses it, as it is
            written; or by state, events and guard. The first guard that fails and has one counts.
        timers: events that the service sends once a state was entered and not left for so long, by
            the state's id. No client may send them.
    """

    # By default a chart catches a callback's error and still moves, and takes any event.
    catch_errors_as_events = False
    allow_event_without_transition = False
    atomic_configuration_update = True

    templates: ClassVar[dict[str, Any]] = {}
    move: Move | None = None
    service_events: ClassVar[frozenset[str]] = frozenset()
    refusals: ClassVar[Mapping[str | tuple[str, str, str], str]] = {}
    timers: ClassVar[Mapping[str, Sequence[Timer]]] = {}

    def __init__(self, model: Any, **inputs: Any) -> None:
        self.recording: Recording | None = None
        self.messages: list[tuple[str, str]] = []
        self._events_sent = 0
        self._nothing_to_process = False
        super().__init__(model, state_field="_configuration", **inputs)
        if self._callbacks.has_async_callbacks:
            # The library runs each in a task: one that ends by `SystemExit` stops the event loop.
            for callback in self._all_callbacks():
                callback._callback = contained(callback._callback)  # noqa: SLF001 - no public way

    @classmethod
    def decide(cls, model: Any, event: str, actor_input: str) -> Move | None:  # noqa: ARG003 - for those who override it
        """What an event comes to; None where hooks and guards decide, as they do in most flows.

        A flow that overrides it has no hooks, and guards that read nothing but `move.key`: where
        such an event leads is found out once and kept. It may change the model.
        """
        return None

    @classmethod
    def is_decided_by_model(cls) -> bool:
        """Whether `decide` says what each event comes to: then it has no hooks."""
        return getattr_static(cls, "decide") is not getattr_static(SessionMachine, "decide")

    @override
    def _get_engine(self) -> SyncSessionEngine | AsyncSessionEngine:
        is_async = self._callbacks.has_async_callbacks
        return AsyncSessionEngine(self) if is_async else SyncSessionEngine(self)

    @property
    def chart_notes(self) -> ChartNotes:
        """What the engine noted while it moved the chart."""
        engine: SyncSessionEngine | AsyncSessionEngine = self._engine
        return engine.notes

    @override
    def _put_nonblocking(self, trigger_data: TriggerData, internal: bool = False) -> None:
        """Queues an event: every way to send one, also a hook's own, comes by here.

        Raises:
            EventRefusedError: it is one of events that send each other without end, or is sent
                with a delay and cannot be.
        """
        if trigger_data.event is not None and trigger_data.event.delay:
            self.chart_notes.delayed.append(self._delayed(trigger_data, trigger_data.event.delay))
            self._nothing_to_process = True
            return
        self._events_sent += 1
        if self._events_sent > MAX_EVENTS:
            raise EventRefusedError(f"The flow's code sends more than {MAX_EVENTS} events at once.")
        super()._put_nonblocking(trigger_data, internal)

    @override
    def _processing_loop(self, caller_future: Any | None = None) -> Any:
        """Processes what was put; called for each event, also for one that became a timer."""
        if self._nothing_to_process:
            self._nothing_to_process = False
            return _Nothing() if self._callbacks.has_async_callbacks else None
        return super()._processing_loop(caller_future)

    def _delayed(self, sent: TriggerData, milliseconds: float) -> Timer:
        """The timer that an event with a delay becomes: the library would wait for it.

        Raises:
            EventRefusedError: the flow has no such event, or the delay or the input is no good.
        """
        name, given = str(sent.event), sent.args[0] if sent.args else ""
        given = sent.kwargs.get("actor_input", given)
        try:
            seconds = checked_seconds(milliseconds / 1000)
        except (TypeError, ValueError):
            raise EventRefusedError(
                f"The flow's code sends {name!r}: its delay is not {RANGE}."
            ) from None
        if name not in type(self)._events or is_library_event(name):  # noqa: SLF001 - no public way
            raise EventRefusedError(f"The flow's code sends {name!r}, which is no event of it.")
        if not isinstance(given, str) or len(given) > MAX_TEXT_CHARS or text_fault(given):
            raise EventRefusedError(f"The flow's code sends {name!r} with what is no short text.")
        if len(self.chart_notes.delayed) >= MAX_PENDING:
            raise EventRefusedError(
                f"The flow's code sends more than {MAX_PENDING} delayed events."
            )
        return Timer(name, seconds, given, sent.send_id)

    @override
    def cancel_event(self, send_id: str) -> None:
        """Cancels the delayed events that were sent with an id, now or by an earlier event."""
        notes = self.chart_notes
        notes.cancelled.add(send_id)
        notes.delayed = [timer for timer in notes.delayed if timer.send_id != send_id]

    @property
    def is_plain(self) -> bool:
        """Whether nothing but state and event decides where it goes and which messages are added.

        So it is without guards, hooks, validators and actions, be they the chart's, the model's
        or a listener's, and without any method of its own.
        """
        called_back = any(True for _ in self._all_callbacks())
        return not (called_back or self._class_listeners or _has_methods(type(self)))

    def _all_callbacks(self) -> Iterator[CallbackWrapper]:
        """Every callback, be it the chart's, the model's or a listener's."""
        for executor in self._callbacks._registry.values():  # noqa: SLF001 - there is no public way
            yield from executor

    def record(self, recording: Recording) -> None:
        """Overrides what the dialogue keeps of the current transition.

        Raises:
            InvalidValueError: it is no `Recording`, nor the value of one.
        """
        self.recording = Recording(recording)

    def say(self, role: str, text: str) -> None:
        """Adds a message to the dialogue.

        Raises:
            InvalidValueError: the role is neither user nor assistant, or the text is no text.
        """
        if role not in _SPEAKERS or not isinstance(text, str):
            raise InvalidValueError(f"say() takes a role ({', '.join(_SPEAKERS)}) and a text.")
        self.messages.append((role, text))


def recall(machine: SessionMachine, history: Mapping[str, Sequence[str]]) -> None:
    """Tells a machine where its history states lead back to, by the ids of the states."""
    by_id = {state.id: state for state in machine.states_map.values()}
    machine.history_values = {
        history_id: [by_id[state_id] for state_id in states if state_id in by_id]
        for history_id, states in history.items()
    }


def remembered(machine: SessionMachine) -> dict[str, list[str]]:
    """Where the history states of a machine lead back to now, by the ids of the states."""
    return {
        history_id: [state.id for state in states]
        for history_id, states in machine.history_values.items()
    }


class _Nothing:
    """What hooks that are async may await, and others need not."""

    def __await__(self) -> Iterator[Any]:
        yield from ()


def is_library_event(event: str) -> bool:
    """Whether the statechart library sends it itself, such as when a compound state is done."""
    return event in _LIBRARY_EVENTS or event.startswith(_LIBRARY_PREFIXES)


def ending_event(events: Iterable[str]) -> str | None:
    """The event that ends an invocation, of those a state takes: the first, but for `error`."""
    return next((event for event in events if event != ERROR_EVENT), None)


def _has_methods(machine: type[SessionMachine]) -> bool:
    own = machine.__mro__[: machine.__mro__.index(SessionMachine)]
    kinds = (FunctionType, property, classmethod, staticmethod)
    return any(isinstance(item, kinds) for base in own for item in vars(base).values())

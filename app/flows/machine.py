"""The base of every flow's statechart: python-statemachine with its traps closed."""

from enum import StrEnum
from types import FunctionType
from typing import Any, ClassVar

from statemachine import StateChart

ROLES = ("user", "assistant", "system")

_LIBRARY_EVENTS = frozenset({"*", "error_execution"})
_LIBRARY_PREFIXES = ("done.", "done_state_", "done_invoke_", "error.")


class Recording(StrEnum):
    """What of a transition goes into the dialogue."""

    NONE = "none"
    RAW = "raw"
    RENDERED = "rendered"


class SessionMachine(StateChart[Any]):
    """A flow's states and events. Subclass it, declare states, events and `templates`.

    Hooks, guards, validators and actions may be async. They may be run again when another change
    of the session won the race, so they must not touch the world: that is what steps are for.
    A hook takes any of `event`, `source`, `target` and `actor_input` as arguments, reads and
    changes `self.model`, and may call `record` to override what the dialogue keeps of the
    transition, or `say` to add messages of its own. A hook, guard or validator that raises an
    error refuses the event: the client reads the text of an `EventRefusedError` or of a plain
    `ValueError`, and of any other error only its kind.

    Attributes:
        templates: one for each state, by the state's id: a path below the `templates` folder, a
            list of templates (a chain), an object as in a manifest, a function, or a template tree.
        shows_errors: whether a failed invocation leaves an error block in the dialogue.
    """

    # A chart swallows a callback's error and still moves, and takes any event by default.
    catch_errors_as_events = False
    allow_event_without_transition = False
    atomic_configuration_update = True

    templates: ClassVar[dict[str, Any]] = {}
    shows_errors: ClassVar[bool] = False

    def __init__(self, model: Any, **inputs: Any) -> None:
        self.recording: Recording | None = None
        self.messages: list[tuple[str, str]] = []
        super().__init__(model, state_field="_configuration", **inputs)

    @property
    def is_plain(self) -> bool:
        """Whether nothing but state and event decides where it goes and which messages are added.

        So it is without guards, hooks, validators and actions, be they the chart's, the model's
        or a listener's, and without any method of its own.
        """
        executors = self._callbacks._registry.values()  # noqa: SLF001 - there is no public way
        called_back = any(True for executor in executors for _ in executor)
        return not (called_back or self._class_listeners or _has_methods(type(self)))

    def record(self, recording: Recording) -> None:
        """Override what the dialogue keeps of the current transition.

        Raises:
            ValueError: it is no `Recording`, nor the value of one.
        """
        self.recording = Recording(recording)

    def say(self, role: str, text: str) -> None:
        """Add a message to the dialogue.

        Raises:
            ValueError: the role is none of `ROLES`, or the text is no text.
        """
        if role not in ROLES or not isinstance(text, str):
            raise ValueError(f"say() takes a role ({', '.join(ROLES)}) and a text.")
        self.messages.append((role, text))


def is_library_event(event: str) -> bool:
    """Whether the statechart library sends it itself, such as when a compound state is done."""
    return event in _LIBRARY_EVENTS or event.startswith(_LIBRARY_PREFIXES)


def _has_methods(machine: type[SessionMachine]) -> bool:
    own = machine.__mro__[: machine.__mro__.index(SessionMachine)]
    kinds = (FunctionType, property, classmethod, staticmethod)
    return any(isinstance(item, kinds) for base in own for item in vars(base).values())

"""Flows without hooks whose machines decide all the same, and one with states inside a state."""

from typing import Any

from app.flows import Invoke, Render, SessionMachine, SessionModel, State


class PersonalMachine(SessionMachine):
    """Says what depends on the session, without any hook."""

    a = State(initial=True)
    b = State()
    go = a.to(b) | b.to(a)

    templates = {"a": Render(""), "b": Render("")}

    def __init__(self, model: Any, **inputs: Any) -> None:
        super().__init__(model, **inputs)
        self.say("assistant", f"for {model.name}")


class Personal(SessionModel):
    machine = PersonalMachine

    name: str = ""


class Scribe:
    """A listener that is set up with each machine."""

    def setup(self, machine: PersonalMachine) -> None:
        machine.messages = [("assistant", f"for {machine.model.name}")]


class OverheardMachine(SessionMachine):
    """Has what listens to it say what depends on the session."""

    listeners = [Scribe]
    a = State(initial=True)
    b = State()
    go = a.to(b) | b.to(a)

    templates = {"a": Render(""), "b": Render("")}


class Overheard(SessionModel):
    machine = OverheardMachine

    name: str = ""


class NestedMachine(SessionMachine):
    """The inner state's end leads on by the library's own event."""

    class outer(State.Compound):  # noqa: N801 - a state is named as its events name it
        one = State(initial=True)
        two = State(final=True)
        step = one.to(two)

    after = State()
    done_state_outer = outer.to(after)
    again = after.to(outer)

    templates = {"one": Render("one"), "two": Render("two"), "after": Render("after")}


class Nested(SessionModel):
    machine = NestedMachine


class LeavingMachine(SessionMachine):
    """Its invoker calls `sys.exit`."""

    a = State(initial=True)
    b = State()
    go = a.to(b)
    done = b.to(a)

    templates = {
        "a": Render("{{ actor_input }}"),
        "b": Invoke("x", f"{__name__}.Leaver"),
    }


class Leaving(SessionModel):
    machine = LeavingMachine


class Leaver:
    """Ends the process, if it is let."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Leaver":
        return cls()

    def invoke(self, content: str) -> str:
        raise SystemExit(3)

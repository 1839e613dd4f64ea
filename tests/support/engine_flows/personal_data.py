"""Flows whose templates, guards and hooks read who a session is for, and what was said."""

from statemachine.event_data import EventData

from app.flows import Invoke, Render, SessionMachine, SessionModel, State


class GreetingMachine(SessionMachine):
    hello = State(initial=True)
    known = State(final=True)
    unknown = State(final=True)

    go = hello.to(known, cond="is_of_acme") | hello.to(unknown)

    templates = {
        "hello": Render("Hello, {{ user_info.firstname }}{{ seed_data }}."),
        "known": Render("{{ user_info.email }} {{ seen }}"),
        "unknown": Render("{{ state_id }}"),
    }

    def is_of_acme(self) -> bool:
        return str((self.model.user_info or {}).get("email")).endswith("@acme.example")

    def on_enter_known(self) -> None:
        self.model.seen = self.model.user_info["lastname"]


class Greeting(SessionModel):
    machine = GreetingMachine

    seed_data: str = ""
    seen: str = ""


class ReferenceMachine(SessionMachine):
    """Guards and hooks as the reference engine's flows have them."""

    class talk(State.Compound):  # noqa: N801 - a state is named as its events name it
        listens = State(initial=True)
        works = State("At work")
        user_input = listens.to(works, cond="is_valid_response")
        ai_extraction = works.to(listens, on="keep")

    templates = {
        "listens": Render(
            "{% if state_id == 'listens' %}{{ state_name }}{% endif %} {{ kept | tojson }}"
        ),
        "works": Invoke(
            "{{ parsed_actor_input if state_id == 'works' else state_id }}", "verbatim"
        ),
    }

    def is_valid_response(self, event_data: EventData) -> bool:
        return len(event_data.args) > 0 and event_data.args[0] not in (None, "")

    def keep(self, text: str, event_data: EventData) -> None:
        self.model.kept = [text, event_data.args[0], self.model.parsed_actor_input]


class Reference(SessionModel):
    machine = ReferenceMachine

    kept: list[str | float | bool | None] = []

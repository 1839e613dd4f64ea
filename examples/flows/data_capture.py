"""Data capture: a name and an age are taken out of what the user says, or the user is asked again.

The extraction is `verbatim`, so that it works offline: say `{"name": "Ada", "age": 36}`. For a real
one put `type: llm` into `templates/data_capture/extract/meta.yaml`, and a prompt into the template.
"""

from typing import Any

from app.flows import (
    EventRefusedError,
    Recording,
    SessionMachine,
    SessionModel,
    State,
    VersionedModel,
)

_MOST_RETRIES = 2


class Attempt(VersionedModel):
    """What came of one try; kept by itself, so that the model stays small."""

    said: str
    understood: bool


class DataCaptureMachine(SessionMachine):
    """`extracted` ends the extraction: the first transition whose guard holds is taken."""

    intro = State(initial=True)
    extract = State()
    retry = State()
    welcome = State(final=True)
    given_up = State(final=True)

    say_who = intro.to(extract, validators="check_length") | retry.to(
        extract, validators="check_length"
    )
    extracted = (
        extract.to(welcome, cond="is_understood", on="keep")
        | extract.to(retry, cond="may_retry", on="count")
        | extract.to(given_up)
    )

    templates = {
        "intro": "data_capture/intro.jinja2",
        "extract": "data_capture/extract/name_and_age.jinja2",
        "retry": "data_capture/retry.jinja2",
        "welcome": "data_capture/welcome.jinja2",
        "given_up": "data_capture/given_up.jinja2",
    }

    def check_length(self, actor_input: str) -> None:
        """Refuse what no name and age are in; the session stays as it is."""
        if not 0 < len(actor_input) <= 500:
            raise EventRefusedError("Say your name and your age, in 500 characters at most.")

    async def is_understood(self) -> bool:
        """Guards, like all hooks, may be async."""
        said = self.model.parsed_actor_input
        if not isinstance(said, dict):
            return False
        name, age = said.get("name"), said.get("age")
        return isinstance(name, str) and bool(name) and isinstance(age, int) and 0 < age < 150

    def may_retry(self) -> bool:
        return bool(self.model.retries < _MOST_RETRIES)

    def keep(self) -> None:
        self.model.user_name = self.model.parsed_actor_input["name"]
        self.model.age = self.model.parsed_actor_input["age"]

    def count(self) -> None:
        self.model.retries += 1

    def on_enter_extract(self) -> None:
        """What the user says may be private: keep it out of the dialogue."""
        self.record(Recording.NONE)
        self.say("user", "(personal data)")

    def on_exit_extract(self, target: State) -> None:
        tried = Attempt(said=self.model.actor_input, understood=target.id == "welcome")
        self.model.secondary_store[f"attempt {len(self.model.secondary_store) + 1}"] = tried


class DataCapture(SessionModel):
    """Asks for a name and an age until both make sense."""

    schema_version = 1
    machine = DataCaptureMachine

    user_name: str | None = None
    age: int | None = None
    retries: int = 0

    @classmethod
    def upgrade_schema(cls, from_version: int, data: dict[str, Any]) -> dict[str, Any]:
        """Version 0 called the name `name`."""
        return {**data, "user_name": data.pop("name", None)}

"""A flow whose code takes part in every transition, and can be made to fail in each place."""

from typing import Any, Self

from pydantic import field_validator

from app.flows import (
    BadRequestError,
    EventRefusedError,
    InvalidValueError,
    Render,
    SessionMachine,
    SessionModel,
    State,
    VersionedModel,
)


class Remark(VersionedModel):
    text: str


class HooksMachine(SessionMachine):
    first = State(initial=True)
    second = State()

    go = first.to(second, cond="may_go", validators="check", before="count") | second.to(
        first, cond="may_go"
    )
    note = first.to.itself(on="keep_note")
    drop = first.to.itself(on="drop_note")

    templates = {"first": Render("first {{ count }}"), "second": Render("second {{ count }}")}

    async def may_go(self, actor_input: str) -> bool:
        if actor_input == "guard":
            raise ZeroDivisionError("secret guard")
        return actor_input != "no"

    async def check(self, actor_input: str) -> None:
        if actor_input == "validator":
            raise InvalidValueError("That will not do.")
        if actor_input == "parse":
            int("secret number")  # a plain ValueError, of Python's own
        if actor_input == "refuse":
            raise EventRefusedError("Not today.")
        if actor_input == "bad":
            raise BadRequestError("Bad input.")

    async def count(self, actor_input: str) -> None:
        self.model.count += 1
        if actor_input == "action":
            raise KeyError("secret action")
        if actor_input == "type":
            self.model.count = "many"

    async def on_enter_second(self, actor_input: str) -> None:
        self.model.entered.append(actor_input)
        if actor_input == "hook":
            raise RuntimeError("secret hook")
        if actor_input == "NUL":
            self.say("assistant", "\0")
        if actor_input == "number":
            self.say("assistant", 5)
        if actor_input == "role":
            self.say("system", "Be brief.")
        if actor_input == "object":
            self.model.entered.append(object())

    async def on_enter_first(self, actor_input: str) -> None:
        self.model.entered.append(actor_input)

    def keep_note(self, actor_input: str) -> None:
        key, _, text = actor_input.partition("=")
        self.model.secondary_store[key] = Remark(text=text)

    def drop_note(self, actor_input: str) -> None:
        del self.model.secondary_store[actor_input]


class Hooks(SessionModel):
    """Counts."""

    machine = HooksMachine
    schema_version = 2

    count: int = 0
    entered: list[str] = []

    @classmethod
    def seed(cls, seed_data: dict[str, Any]) -> Self:
        if "boom" in seed_data:
            raise KeyError("secret seed")
        return super().seed({"count": int(seed_data.get("from", 0))})

    @field_validator("count")
    @classmethod
    def _known(cls, count: int) -> int:
        if count == -1:
            int("secret code")
        if count < 0:
            raise InvalidValueError("Count from 0 on.")
        return count

    @classmethod
    def upgrade_schema(cls, from_version: int, data: dict[str, Any]) -> dict[str, Any]:
        if from_version != 1:
            raise InvalidValueError(f"version {from_version} is too old")
        return {"count": data["counter"], "entered": []}

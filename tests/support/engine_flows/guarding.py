"""Flows whose guards say why they refuse an event."""

from app.flows import Render, SessionMachine, SessionModel, State


class AdmittingMachine(SessionMachine):
    """Its guards are synchronous."""

    door = State(initial=True)
    inside = State()
    enter = door.to(inside, cond=["is_adult", "has_ticket"], unless="is_full")
    leave = inside.to(door) | door.to(inside, cond="is_mine")

    templates = {"door": Render("door"), "inside": Render("inside")}
    refusals = {
        "is_adult": "You must be 18.",
        "!is_full": "There is no room.",
        ("door", "leave", "is_mine"): "This is not your door.",
    }

    def is_adult(self, actor_input: str) -> bool:
        return "adult" in actor_input

    def has_ticket(self, actor_input: str) -> bool:
        return "ticket" in actor_input

    def is_full(self, actor_input: str) -> bool:
        return "full" in actor_input

    def is_mine(self) -> bool:
        return False


class Admitting(SessionModel):
    machine = AdmittingMachine


class AsyncAdmittingMachine(AdmittingMachine):
    """The same, where one of them is async."""

    async def is_full(self, actor_input: str) -> bool:
        return "full" in actor_input


class AsyncAdmitting(SessionModel):
    machine = AsyncAdmittingMachine

"""A flow that tells failures from answers: by `task_error`, and by the event `error`."""

from app.flows import Invoke, Render, SessionMachine, SessionModel, State

_FRAGILE = Invoke("{{ actor_input if actor_input == 'fine' else 1 // 0 }}", "verbatim")


class RescuingMachine(SessionMachine):
    asking = State(initial=True)
    fragile = State()
    guarded = State()
    rescued = State()
    broken = State()
    shown = State()

    normal = asking.to(fragile) | shown.to(fragile) | broken.to(fragile)
    caught = broken.to(guarded) | rescued.to(guarded)
    done = (
        fragile.to(broken, cond="failed")
        | fragile.to(shown)
        | guarded.to(broken, cond="failed")
        | guarded.to(shown)
    )
    error = guarded.to(rescued, cond="may_rescue", on="count")

    templates = {
        "asking": Render("asking"),
        "fragile": _FRAGILE,
        "guarded": _FRAGILE,
        "rescued": Render("rescued from {{ task_error }}"),
        "broken": Render("broken by {{ task_error }}"),
        "shown": Render("shown {{ actor_input }}"),
    }

    def failed(self) -> bool:
        return self.model.task_error is not None

    def may_rescue(self) -> bool:
        return bool(self.model.task_error and not self.model.rescued)

    def count(self) -> None:
        self.model.rescued += 1

    def after_transition(self) -> None:
        self.model.seen = [*self.model.seen, self.model.task_error]


class Rescuing(SessionModel):
    machine = RescuingMachine

    rescued: int = 0
    seen: list[str | None] = []

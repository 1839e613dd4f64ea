"""Flows whose hooks send events with a delay."""

from app.flows import Render, SessionMachine, SessionModel, State, Timer


class TimingMachine(SessionMachine):
    """Its hooks are synchronous."""

    idle = State(initial=True)
    armed = State()
    over = State(final=True)
    arm = idle.to(armed, on="delay")
    ring = armed.to(over)
    touch = armed.to.itself(internal=True, on="disarm")
    leave = armed.to(idle)

    templates = {
        "idle": Render("idle"),
        "armed": Render("armed"),
        "over": Render("over: {{ actor_input }}"),
    }

    def delay(self, actor_input: str) -> None:
        match actor_input:
            case "twice":
                self.send("ring", "first", delay=1000, send_id="one")
                self.send("ring", "second", delay=1100, send_id="two")
            case "unknown":
                self.send("nothing", delay=1000)
            case "library":
                self.send("error.execution", delay=1000)
            case "object":
                self.send("ring", {"a": 1}, delay=1000)
            case "many":
                for _ in range(51):
                    self.send("ring", delay=60_000)
            case _:
                self.send("ring", "now", delay=float(actor_input))

    def disarm(self, actor_input: str) -> None:
        self.cancel_event(actor_input)


class Timing(SessionModel):
    machine = TimingMachine


class AsyncTimingMachine(TimingMachine):
    """The same, where its hooks are async."""

    async def delay(self) -> None:
        await self.send("ring", "first", delay=1000, send_id="one")
        self.send("ring", "second", delay=1100, send_id="two")

    async def disarm(self, actor_input: str) -> None:
        self.cancel_event(actor_input)


class AsyncTiming(SessionModel):
    machine = AsyncTimingMachine


class LateMachine(SessionMachine):
    """A timer of a state leads to an invocation."""

    idle = State(initial=True)
    working = State()
    over = State(final=True)
    late = idle.to(working)
    worked = working.to(over)

    timers = {"idle": [Timer("late", 1)]}
    templates = {
        "idle": Render("idle"),
        "working": {"invoke": "verbatim", "template": "late{{ actor_input }}"},
        "over": Render("{{ actor_input }}"),
    }


class Late(SessionModel):
    machine = LateMachine

"""A flow whose steps fail deep inside, give an object, or wait for a queue without a worker."""

from typing import Any, Self

from app.flows import Chain, Invoke, Parallel, Queue, Render, SessionMachine, SessionModel, State


class ObjectInvoker:
    """Gives an object, as existing synchronous invokers do."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls()

    def invoke(self, content: str) -> dict[str, Any]:
        return {"said": content, "more": [1, None]}


class MisplacedMachine(SessionMachine):
    asks = State(initial=True)
    works = State()
    answers = State()
    waits = State()

    go = asks.to(works)
    ask = asks.to(answers)
    wait = asks.to(waits)
    done = works.to(asks) | answers.to(asks) | waits.to(asks)

    templates = {
        "asks": Render("{{ actor_input }}"),
        "works": Chain(
            (
                Invoke("x", "verbatim"),
                Parallel({"a": Invoke("x", "verbatim"), "b": Invoke("\n{{ 1 / 0 }}", "verbatim")}),
            )
        ),
        "answers": Invoke("it's", f"{__name__}.ObjectInvoker"),
        "waits": Queue("gpu", Invoke("x", "verbatim")),
    }


class Misplaced(SessionModel):
    machine = MisplacedMachine

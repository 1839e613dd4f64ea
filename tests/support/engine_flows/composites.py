"""One flow for each way to compose templates: `go` starts the invocation, its result is shown."""

import asyncio
import threading
from typing import Any

from app.flows import (
    Call,
    Chain,
    Invoke,
    Map,
    Parallel,
    Queue,
    Render,
    SessionMachine,
    SessionModel,
    State,
)


def echo(text: str) -> Invoke:
    return Invoke(text, "verbatim")


def machine_for(working: Any) -> type[SessionMachine]:
    class Machine(SessionMachine):
        waiting = State(initial=True)
        working_ = State(name="Hard at work")
        shown = State()

        go = waiting.to(working_) | shown.to(working_)
        done = working_.to(shown, on="keep")

        templates = {"waiting": Render(""), "working_": working, "shown": Render("{{ result }}")}

        def keep(self) -> None:
            self.model.result = self.model.actor_input

    return Machine


class Base(SessionModel):
    items: Any = None
    result: str = "-"


class Chained(Base):
    machine = machine_for(
        [
            {"invoke": "verbatim", "template": '{"n": {{ actor_input | length }}}'},
            echo("{{ previous_result }}/{{ parsed_previous_result.n + 1 }}"),
            echo("<{{ previous_result }}|{{ parsed_previous_result }}>"),
        ]
    )


class InParallel(Base):
    machine = machine_for(
        {
            "parallel": {
                "text": echo("{{ actor_input }}"),
                "json": echo('{"said": {{ actor_input | tojson }}}'),
                "a/b~c": echo("7"),
            }
        }
    )


class Mapped(Base):
    machine = machine_for(
        {
            "map": {
                "over": "items",
                "template": echo('["{{ map_index }}", {{ map_value | tojson }}]'),
            }
        }
    )


class MappedByPath(Base):
    machine = machine_for(Map("parsed_actor_input.rows[?ok].name", echo("{{ map_value }}")))


class MisMapped(Base):
    machine = machine_for(Map("length(items)", echo("{{ map_value }}")))


class MisMappedLater(Base):
    machine = machine_for(
        Chain((echo("{{ actor_input }}"), Map("length(parsed_previous_result)", echo("x"))))
    )


class Deep(Base):
    """A map of chains in a chain in a parallel."""

    machine = machine_for(
        Parallel(
            {
                "left": Chain(
                    (
                        echo("{{ actor_input }}"),
                        Map(
                            "items",
                            Chain(
                                (
                                    echo("{{ row }}{{ previous_result }}"),
                                    Map(
                                        "items", echo("{{ n }}{{ row }}{{ previous_result }}"), "n"
                                    ),
                                )
                            ),
                            value_field="row",
                        ),
                        echo("[{{ previous_result }}, {{ parsed_previous_result | length }}]"),
                    )
                ),
                "right": echo("{{ actor_input }}"),
            }
        )
    )


class EmptyMaps(Base):
    """Nothing to run but the last part, or nothing at all."""

    machine = machine_for(
        Chain(
            (
                Map("items", Chain((echo("x"), echo("y")))),
                Parallel({"a": Map("items", echo("x")), "b": Map("items", echo("y"))}),
                Map("parsed_previous_result.a", echo("z")),
            )
        )
    )


class Queued(Base):
    machine = machine_for(
        Parallel({"here": echo("1"), "there": Queue("gpu", Chain((echo("2"), echo("3"))))})
    )


class Gates:
    """Lets a test hold steps: each waits for a permit of its own kind."""

    def __init__(self) -> None:
        self.permits = asyncio.Semaphore(0)
        self.calls: list[str] = []


gates = Gates()


async def gated(data: dict[str, Any]) -> str:
    await gates.permits.acquire()
    gates.calls.append(data["actor_input"])
    return "ok"


class Gated(Base):
    """Total: 1, then 1 + 3 + 1; at the end of the chain 5."""

    machine = machine_for(
        Chain((Call(gated), Map("items", Call(gated)), Map("missing", Call(gated)), Call(gated)))
    )


class GatedAside(Base):
    """A chain whose end turns out to be empty counts on, beside another step."""

    machine = machine_for(
        Parallel({"a": Chain((Call(gated), Map("missing", Call(gated)))), "b": Call(gated)})
    )


failures: dict[str, int] = {}


def fails(data: dict[str, Any]) -> dict[str, Any]:
    said = data["actor_input"]
    if said == "break":
        raise KeyError("no such luck")
    if said == "flicker":
        failures[data["session_id"]] = failures.get(data["session_id"], 0) + 1
        if failures[data["session_id"]] < 3:
            raise ConnectionError("try again")
    if said == "NUL":
        return "a\0b"  # type: ignore[return-value]
    if said == "odd":
        return {"x": object()}
    return {"said": said, "sees": sorted(data), "dialogue": data["dialogue"]}


class Failing(Base):
    machine = machine_for({"call": f"{__name__}.fails"})


class FailingInside(Base):
    machine = machine_for(Chain((echo("{{ actor_input }}"), Map("[`1`, `2`]", Call(fails)))))


_all_eight = threading.Barrier(8)


def meet(data: dict[str, Any]) -> str:
    _all_eight.wait(60)  # broken, unless eight threads wait at once
    return str(data["actor_input"]) * 2


class Together(Base):
    machine = machine_for(Map("items", Call(meet)))

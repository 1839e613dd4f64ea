"""A flow in code: a function, a map of calls, and two calls side by side."""

from typing import Any

from app.flows import (
    Call,
    Chain,
    Invoke,
    Map,
    Parallel,
    Render,
    SessionMachine,
    SessionModel,
    State,
)

_API = {"connection": "odd-api"}


def parts_of(data: dict[str, Any]) -> list[str]:
    """Three things to ask for what the user said."""
    return [data["actor_input"]] * 3


class CodedMachine(SessionMachine):
    """All of `working` is one invocation."""

    ready = State(initial=True)
    working = State()
    shown = State()

    go = ready.to(working) | shown.to(working)
    done = working.to(shown)

    templates = {  # noqa: RUF012 - as a user would write it
        "ready": Render("ready"),
        "working": Chain(
            (
                Call(parts_of),
                Map(
                    "parsed_previous_result",
                    Invoke('{"say": {{ map_value | tojson }}}', "http", _API),
                ),
                Parallel(
                    {
                        "before": Invoke("{{ previous_result }}", "verbatim"),
                        "api": Invoke('{"say": {{ actor_input | tojson }}}', "http", _API),
                        "model": Invoke("{{ actor_input }}", "llm"),
                    }
                ),
            )
        ),
        "shown": Render("{{ actor_input }}"),
    }


class Coded(SessionModel):
    """Keeps nothing but its dialogue."""

    machine = CodedMachine

"""Flows about what goes into the dialogue, and what templates see."""

from typing import Any

from app.flows import Invoke, Recording, Render, SessionMachine, SessionModel, State

SEES = """{
 "state": [{{ state_id | tojson }}, {{ state_name | tojson }}],
 "session_id": {{ session_id | tojson }}, "colour": {{ colour | tojson }},
 "actor_input": {{ actor_input | tojson }}, "parsed": {{ parsed_actor_input | tojson }},
 "now": {{ current_datetime | tojson }}, "history": {{ chat_history | tojson }},
 "dialogue": {{ dialogue | tojson }}}"""


class MatrixMachine(SessionMachine):
    """User states `asks` and `tells`; invoker states `thinks` and `refines`."""

    asks = State(initial=True)
    tells = State("Tells all")
    thinks = State("Thinks hard")
    refines = State()

    show = asks.to(tells) | tells.to(tells)
    think = asks.to(thinks) | tells.to(thinks)
    thought = thinks.to(refines, cond="refine") | thinks.to(tells)
    refined = refines.to(tells)

    templates = {
        "asks": Render("Hello, {{ colour }}."),
        "tells": Render(SEES),
        "thinks": Invoke(SEES, "verbatim"),
        "refines": Invoke("refined", "verbatim"),
    }

    def refine(self) -> bool:
        return bool(self.model.refine)


class Matrix(SessionModel):
    machine = MatrixMachine
    key = "the-matrix"

    colour: str = "blue"
    refine: bool = False


class OverridingMachine(SessionMachine):
    quiet = State(initial=True)
    loud = State()
    silent = State()
    works = State()

    shout = quiet.to(loud)
    hush = quiet.to(silent)
    work = quiet.to(works)
    worked = works.to(quiet)
    back = loud.to(quiet) | silent.to(quiet)

    templates = {
        "quiet": Render("quiet {{ actor_input }}"),
        "loud": Render("loud"),
        "silent": Render("never said"),
        "works": Invoke("worked on {{ actor_input }}", "verbatim"),
    }

    def on_enter_quiet(self) -> None:
        self.record(Recording.NONE)

    def on_enter_loud(self, actor_input: str, event: str, source: State, target: State) -> None:
        self.record(Recording.RAW)
        self.say("assistant", f"{event}: {source.id} -> {target.id}: {actor_input}")

    async def on_enter_silent(self) -> None:
        self.record(Recording.NONE)

    async def on_enter_works(self, **_: Any) -> None:
        self.record(Recording.NONE)
        self.say("user", "(hidden)")


class Overriding(SessionModel):
    machine = OverridingMachine


class HistoryMachine(SessionMachine):
    """Shows what templates see of the dialogue: of states, and of steps of each invoker."""

    asks = State(initial=True)
    waits = State()
    repeats = State()
    echoes = State()
    asks_model = State()
    calls = State()
    raw = State()

    go = asks.to(waits)
    repeat = waits.to(repeats)
    repeated = repeats.to(waits)
    echo = waits.to(echoes)
    echoed = echoes.to(waits)
    ask_model = waits.to(asks_model)
    asked = asks_model.to(waits)
    call = waits.to(calls)
    called = calls.to(waits)
    keep = waits.to(raw)
    kept = raw.to(waits, after="keep_raw")

    SEEN = "{{ dialogue | map(attribute='content') | map('length') | list }}"

    templates = {
        "asks": Render("[{{ chat_history }}]"),
        "waits": Render("{{ actor_input }}"),
        "repeats": Invoke(SEEN, "verbatim"),
        "echoes": Invoke(SEEN, "echo"),
        "asks_model": Invoke(SEEN, "llm"),
        "calls": lambda data: [len(message["content"]) for message in data["dialogue"]],
        "raw": Invoke("the model's words", "verbatim"),
    }

    def keep_raw(self) -> None:
        self.record(Recording.RAW)


class Histories(SessionModel):
    machine = HistoryMachine

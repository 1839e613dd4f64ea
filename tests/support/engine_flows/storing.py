"""A flow that keeps each answer in the secondary store, under the number of its turn."""

from typing import Any

from app.flows import (
    Chain,
    Invoke,
    Map,
    Render,
    SessionMachine,
    SessionModel,
    State,
    VersionedModel,
)


class KeptAnswer(VersionedModel):
    text: str


class StoringMachine(SessionMachine):
    asking = State(initial=True)
    working = State()

    go = asking.to(working)
    done = working.to(asking, on="keep")

    templates = {
        "asking": Render("{{ turns }}"),
        "working": Invoke("{{ actor_input }}", "llm"),
    }

    def keep(self, actor_input: str) -> None:
        self.model.turns += 1
        self.model.secondary_store[f"turn-{self.model.turns}"] = KeptAnswer(text=actor_input)


class Storing(SessionModel):
    """Keeps what it is answered."""

    machine = StoringMachine

    turns: int = 0


def read_in_thread(data: dict[str, Any]) -> str:
    return str(data["secondary_store"]["note"]["text"])


async def read_in_loop(data: dict[str, Any]) -> str:
    return str(data["secondary_store"]["note"]["text"])


class KeptList(VersionedModel):
    items: list[str]


class ArchiveMachine(SessionMachine):
    """Keeps values, and reads them in each place where they can be read."""

    asking = State(initial=True)
    shown = State()
    trivial = State()
    rendered = State()
    mapped = State()
    called = State()
    awaited = State()

    keep = asking.to.itself(on="keep_values")
    show = asking.to(shown, cond="has_note") | asking.to(asking)
    back = shown.to(asking)
    work = asking.to(trivial)
    render = asking.to(rendered)
    map_ = asking.to(mapped)
    call = asking.to(called)
    wait = asking.to(awaited)
    done = (
        trivial.to(asking)
        | rendered.to(asking)
        | mapped.to(asking)
        | called.to(asking)
        | awaited.to(asking)
    )
    drop = asking.to.itself(on="drop_large")

    templates = {
        "asking": Render("{{ actor_input }}"),
        "shown": Render("{{ secondary_store.note.text }} {{ read }}"),
        "trivial": Chain(tuple(Invoke("x", "verbatim") for _ in range(20))),
        "rendered": Invoke("{{ secondary_store['note'].text }}", "verbatim"),
        "mapped": Map("secondary_store.list.items", Invoke("{{ map_value }}!", "verbatim")),
        "called": read_in_thread,
        "awaited": read_in_loop,
    }

    def keep_values(self, actor_input: str) -> None:
        store = self.model.secondary_store
        store["note"] = KeptAnswer(text="a note")
        store["list"] = KeptList(items=["a", "b"])
        store["large"] = KeptAnswer(text="x" * int(actor_input or 0))

    def has_note(self) -> bool:
        return "note" in self.model.secondary_store

    def on_enter_shown(self) -> None:
        texts = [str(getattr(value, "text", "")) for value in self._read()]
        self.model.read = f"{len(self.model.secondary_store)} {texts[0]}"

    def _read(self) -> list[VersionedModel]:
        return [self.model.secondary_store["note"], self.model.secondary_store["list"]]

    def drop_large(self) -> None:
        del self.model.secondary_store["large"]


class Archive(SessionModel):
    machine = ArchiveMachine

    read: str = ""

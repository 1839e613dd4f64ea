"""A flow that keeps each answer in the secondary store, under the number of its turn."""

from app.flows import Invoke, Render, SessionMachine, SessionModel, State, VersionedModel


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

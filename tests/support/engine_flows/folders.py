"""A flow whose templates are files: rendered ones, and ones sent to an existing invoker."""

from app.flows import SessionMachine, SessionModel, State


class FoldersMachine(SessionMachine):
    asking = State(initial=True, value=100)
    working = State(value=200)
    deeper = State(value=300)
    answered = State(value=400)

    ask = asking.to(working) | answered.to(working)
    worked = working.to(deeper)
    deepened = deeper.to(answered)

    templates = {
        "asking": "asked/hello.jinja2",
        "working": "seed/verbatim.jinja2",
        "deeper": ["copied/deep/part.jinja2", "asked/between.jinja2"],
        "answered": "asked/answer.jinja2",
    }


class Folders(SessionModel):
    machine = FoldersMachine

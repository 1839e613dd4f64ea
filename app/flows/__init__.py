"""What a flow is: a statechart, a session model, a template for each state. Never the database.

These are the names that a package of flows in code imports: `from app.flows import SessionModel`.
"""

from statemachine import State

from app.errors import BadRequestError, EventRefusedError, PublicError
from app.flows.machine import SessionMachine
from app.flows.model.secondary_store import SecondaryStore
from app.flows.model.session_model import SessionModel
from app.flows.model.versioned import VersionedModel
from app.flows.move import Recording
from app.flows.rendering.dialogue_format import DialogueFormat, format_dialogue
from app.flows.template import (
    Ask,
    Call,
    Chain,
    Invoke,
    Map,
    Parallel,
    Queue,
    Render,
    RetryPolicy,
    RunAgent,
    RunChat,
)
from app.flows.timers import Timer
from app.kit.invalid import InvalidValueError

__all__ = [
    "Ask",
    "BadRequestError",
    "Call",
    "Chain",
    "DialogueFormat",
    "EventRefusedError",
    "InvalidValueError",
    "Invoke",
    "Map",
    "Parallel",
    "PublicError",
    "Queue",
    "Recording",
    "Render",
    "RetryPolicy",
    "RunAgent",
    "RunChat",
    "SecondaryStore",
    "SessionMachine",
    "SessionModel",
    "State",
    "Timer",
    "VersionedModel",
    "format_dialogue",
]

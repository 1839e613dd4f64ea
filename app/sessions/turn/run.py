"""Prepares a transition of a session with what the process has: its store and its settings."""

from app.flows.flow import Flow
from app.flows.model.session_model import SessionModel
from app.flows.rendering.dialogue_format import DialogueElement
from app.sessions.runtime import Runtime
from app.sessions.store.change import Change
from app.sessions.store.snapshot import Snapshot
from app.sessions.turn.history import MOST_MESSAGES
from app.sessions.turn.limits import TurnLimits
from app.sessions.turn.rendering import ReadDialogue
from app.sessions.turn.transition import TransitionRun
from app.sessions.turn.transition_input import TransitionInput


def opening_run(
    runtime: Runtime, flow: Flow, model: SessionModel, change: Change, given: TransitionInput
) -> TransitionRun:
    """The transition that starts a session."""
    return TransitionRun(
        flow,
        model,
        change,
        given,
        read_dialogue=dialogue_reader(runtime, change.session_id),
        limits=TurnLimits.of(runtime.settings),
    )


def transition_run(
    runtime: Runtime, flow: Flow, before: Snapshot, given: TransitionInput
) -> TransitionRun:
    """A transition of a session that is stored.

    Raises:
        DefinitionMismatchError: the stored session does not fit the flow.
    """
    return TransitionRun.of(
        flow,
        before,
        given,
        read_dialogue=dialogue_reader(runtime, before.id),
        limits=TurnLimits.of(runtime.settings),
    )


def dialogue_reader(runtime: Runtime, session_id: str) -> ReadDialogue:
    """Reads the stored dialogue of a session, as far back as templates are shown it."""
    characters = runtime.settings.session.history_characters

    async def read_dialogue() -> list[DialogueElement]:
        return await runtime.store.dialogue(session_id, MOST_MESSAGES, characters)

    return read_dialogue

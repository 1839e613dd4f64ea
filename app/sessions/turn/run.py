"""Runs a transition of a session with what the process has: its store and its settings."""

from collections.abc import Awaitable, Callable

from app.flows.flow import Flow
from app.flows.model.session_model import SessionModel
from app.flows.rendering.dialogue_format import DialogueElement
from app.sessions.runtime import Runtime
from app.sessions.store.change import Change
from app.sessions.store.snapshot import Snapshot
from app.sessions.turn.history import MOST_MESSAGES
from app.sessions.turn.limits import TurnLimits
from app.sessions.turn.rendering import ReadDialogue
from app.sessions.turn.stored_values import with_stored_values
from app.sessions.turn.transition import TransitionRun
from app.sessions.turn.transition_input import TransitionInput


def opening_run(
    runtime: Runtime,
    flow: Flow,
    model: SessionModel,
    change: Change,
    transition_input: TransitionInput,
    *,
    heavy: bool = False,
) -> TransitionRun:
    """The transition that starts a session; `heavy`: what is done with all its model takes long."""
    return TransitionRun(
        flow,
        model,
        change,
        transition_input,
        read_dialogue=dialogue_reader(runtime, change.session_id),
        limits=TurnLimits.of(runtime.settings),
        heavy=heavy,
    )


async def transition_run(
    runtime: Runtime,
    flow: Flow,
    before: Snapshot,
    transition_input: TransitionInput,
    move: Callable[[TransitionRun], Awaitable[None]],
) -> TransitionRun:
    """A transition of a session that is stored, once `move` has moved it.

    Raises:
        DefinitionMismatchError: the stored session does not fit the flow.
        Exception: what else `move` raised.
    """
    limits = TurnLimits.of(runtime.settings)

    async def run(session: Snapshot) -> TransitionRun:
        reader = dialogue_reader(runtime, session.id)
        made = await TransitionRun.of(
            flow, session, transition_input, read_dialogue=reader, limits=limits
        )
        await move(made)
        return made

    return await with_stored_values(runtime, before, run)


def dialogue_reader(runtime: Runtime, session_id: str) -> ReadDialogue:
    """Reads the stored dialogue of a session, as far back as templates are shown it."""
    characters = runtime.settings.session.history_characters

    async def read_dialogue() -> list[DialogueElement]:
        return await runtime.store.dialogue(session_id, MOST_MESSAGES, characters)

    return read_dialogue

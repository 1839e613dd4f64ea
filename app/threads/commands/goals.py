"""The goals that a client declares: what they name must be there before anything is stored."""

from collections.abc import Iterator
from typing import Any

from app.access.caller import Caller
from app.agents.entities import EntityKind, find_entities
from app.db.models import Entity
from app.errors import BadRequestError, FieldError
from app.flows.library.chat import KEY
from app.sessions.runtime import Runtime
from app.sessions.store.snapshot import SessionHead
from app.wire.goals import AgentGoal, CreateEventsGoal
from app.wire.messages import AgentText, InitialMessage
from app.wire.thread_requests import SendMessageRequest, StartAgentThreadRequest

DECLARED = {"goals", "output_schema"}

# What the user says where a turn is declared by its goals alone.
TURN_OF_GOALS = InitialMessage(
    role="user", content=[AgentText(text="Achieve the goals of this turn.")]
)
_EVENTS = "event"


async def check_goals(runtime: Runtime, caller: Caller, goals: list[AgentGoal] | None) -> None:
    """Checks that the datasets and collections that goals name are the org's.

    Raises:
        BadRequestError: some are not; it names them.
    """
    if not goals:
        return
    ids = {id_ for goal in goals for id_ in _ids(goal).values()}
    async with runtime.database.transaction() as db:
        entities = await find_entities(db, caller.org_id, ids)
    faults = [fault for index, goal in enumerate(goals) for fault in _faults(index, goal, entities)]
    if faults:
        detail = "; ".join(fault["msg"] for fault in faults)
        raise BadRequestError(f"The goals cannot be worked on: {detail}.", errors=faults)


def check_takes_goals(session: SessionHead) -> None:
    """Checks that a thread's flow works on goals.

    Raises:
        BadRequestError: it does not.
    """
    if session.flow != KEY:
        detail = f"Only threads of the flow {KEY} work on goals; this one runs {session.flow!r}."
        raise BadRequestError(detail, errors=[{"loc": ["body", "goals"], "msg": detail}])


def declares_goals(request: StartAgentThreadRequest | SendMessageRequest) -> bool:
    """Whether the turn that the request begins has goals."""
    return bool(request.goals) or request.output_schema is not None


def with_turn_of_goals(request: StartAgentThreadRequest) -> StartAgentThreadRequest:
    """The request with something for the user to say last, where there are goals to work on."""
    messages = request.messages
    if not declares_goals(request) or (messages and messages[-1].role == "user"):
        return request
    return request.model_copy(update={"messages": [*messages, TURN_OF_GOALS]})


def _ids(goal: AgentGoal) -> dict[str, str]:
    ids = {"dataset_id": goal.dataset_id}
    if isinstance(goal, CreateEventsGoal) and goal.collection_id is not None:
        ids["collection_id"] = goal.collection_id
    return ids


def _faults(index: int, goal: AgentGoal, entities: dict[str, Entity]) -> Iterator[FieldError]:
    kinds: dict[str, Any] = {
        "dataset_id": EntityKind.DATASET,
        "collection_id": EntityKind.COLLECTION,
    }
    for member, id_ in _ids(goal).items():
        entity, kind = entities.get(id_), kinds[member]
        loc: list[str | int] = ["body", "goals", index, member]
        if entity is None or entity.kind != kind:
            yield {"loc": loc, "msg": f"there is no {kind.value} {id_[:100]!r}"}
        elif kind is EntityKind.COLLECTION and entity.content_type != _EVENTS:
            yield {"loc": loc, "msg": f"the Collection {id_!r} does not hold {_EVENTS} entries"}

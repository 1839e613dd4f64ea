"""Flows as clients see them: which there are, what they look like, where in one a session is."""

from typing import Any

from pydantic import BaseModel, Field
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind
from pydantic_core import core_schema
from typing_extensions import override

from app.access.caller import Caller
from app.catalog.catalog import FlowSummary
from app.errors import BadRequestError, NotFoundError
from app.flows.flow import Flow
from app.flows.outline import outline
from app.sessions.runtime import Runtime
from app.sessions.visibility import check_usable


class FlowItem(BaseModel):
    """A flow in a list."""

    key: str = Field(description="What URLs call it.")
    revision: int = Field(description="0 in code; manifests count from 1.")
    description: str | None
    source: str = Field(description="`code` or `manifest`.")
    number_of_states: int


class FlowTimer(BaseModel):
    """An event that the service itself sends to a session."""

    event: str = Field(examples=["remind"])
    after: str = Field(
        description="How long after the state was entered, unless it was left.", examples=["24h"]
    )


class FlowState(BaseModel):
    """A state of a flow."""

    id: str
    name: str
    path: list[str] = Field(description="Ids from the outermost state to this one.")
    initial: bool = Field(description="A session, or the state around this one, starts here.")
    final: bool
    invokes: bool = Field(description="Entering it starts an invocation.")
    asks: bool = Field(description="A step of that may ask a person.")
    history: str | None = Field(
        description="Of a history state, `shallow` or `deep`: a session is never in it."
    )
    events: list[str] = Field(description="The events that a client may send in it.")
    timers: list[FlowTimer] = Field(description="The events that the service sends in it.")


class FlowRecord(FlowItem):
    """A flow."""

    model: dict[str, Any] = Field(description="JSON Schema of what its sessions carry.")
    states: list[FlowState]
    events: list[str] = Field(description="All events that a client may send.")


async def flow_at(runtime: Runtime, caller: Caller, key: str, revision: int | None) -> Flow:
    """A flow of the caller's org at a revision; the newest if none is given.

    Raises:
        NotFoundError: there is no such flow, or it has no such revision.
    """
    flow = await runtime.catalog.get(caller.org_id, key, revision)
    if revision not in (None, flow.revision):  # flows in code have one only
        raise NotFoundError(f"Flow {key!r} has no revision {revision}.")
    return flow


async def flow_of_session(
    runtime: Runtime, caller: Caller, key: str, revision: int | None, session_id: str
) -> tuple[Flow, str]:
    """The flow that a session runs, at the session's revision, and the state that it is in.

    Raises:
        NotFoundError: the org has no such session of that flow.
        ForbiddenError: the session is somebody else's.
        BadRequestError: the session runs another revision than the given one.
    """
    session = (await runtime.store.status(caller.org_id, session_id)).session
    check_usable(caller, session)
    if session.flow != key:
        raise NotFoundError(f"There is no session {session_id!r} of flow {key!r}.")
    if revision not in (None, session.flow_revision):
        message = f"The session runs revision {session.flow_revision}."
        raise BadRequestError(message, errors=[{"loc": ["query", "revision"], "msg": message}])
    flow = await runtime.catalog.get(session.org_id, key, session.flow_revision)
    return flow, session.state


def flow_item(flow: FlowSummary) -> FlowItem:
    """A flow as lists show it."""
    return FlowItem(**_head(flow))


def flow_record(flow: Flow) -> FlowRecord:
    """A flow with all that clients may know."""
    states = outline(flow)
    return FlowRecord(
        **_head(FlowSummary.of(flow)),
        model=flow.model.model_json_schema(schema_generator=_OwnFields),
        states=[FlowState.model_validate(state, from_attributes=True) for state in states],
        events=list(dict.fromkeys(event for state in states for event in state.events)),
    )


def _head(flow: FlowSummary) -> dict[str, Any]:
    return {
        "key": flow.key,
        "revision": flow.revision,
        "description": flow.description,
        "source": "manifest" if flow.revision else "code",
        "number_of_states": flow.number_of_states,
    }


class _OwnFields(GenerateJsonSchema):
    """Schemas without the built-in fields, and `{}` for what JSON Schema cannot describe."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {  # noqa: RUF012 - typed so by its base
        "skipped-choice",
        "non-serializable-default",
    }

    @override
    def field_is_present(self, field: core_schema.CoreSchema) -> bool:
        return not field.get("serialization_exclude")

    @override
    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:
        return {}

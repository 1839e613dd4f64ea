"""`/v1/ai/{flow}/…`: run any flow: start sessions, send events, ask how they are."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import ConfigDict, Field
from typing_extensions import TypeAliasType

from app.access.caller import KeyScope
from app.api.deps import FailedStep, IdempotencyKey, ListDb, Reader, RuntimeDep, Wait, Writer
from app.api.http.body import LARGE_BODY
from app.api.http.route import ApiRoute
from app.api.schemas import Page, json_response
from app.sessions.flow_api import commands
from app.sessions.flow_api.commands import StartSession
from app.sessions.flow_api.listing import SessionItem, UserSessionsRequest, user_sessions
from app.sessions.flow_api.models import read_model
from app.sessions.flow_api.responses import POLL, AIResponse
from app.sessions.flow_api.user_info import UserInfo
from app.sessions.turn.admission import EventRequest
from app.wire.messages import WireModel

router = APIRouter(prefix="/v1/ai/{flow}", tags=["sessions"], route_class=ApiRoute)

FlowKey = Annotated[
    str, Path(description="Key of a flow.", max_length=63, examples=["chat"], alias="flow")
]
SessionId = Annotated[str, Path(description="Id of a session.", examples=["ath_01k8zq5d3v"])]
MAX_INPUT = 2_000_000  # characters; the body limit bounds the whole request
SeedData = TypeAliasType("SeedData", dict[str, Any] | Annotated[str, Field(max_length=MAX_INPUT)])
_SEED = (
    "Values for fields of the model, by name. A text is the JSON of such an object, or else the"
    " value of the field `seed_data`."
)


class StartSessionRequest(WireModel):
    """Starts a session."""

    model_config = ConfigDict(json_schema_extra={"example": {"seed_data": {}}})

    user_info: UserInfo | None = Field(None, description="Who it is for.")
    seed_data: SeedData | None = Field(None, description=_SEED)


class StartEphemeralSessionRequest(WireModel):
    """Starts a session that is kept for a while only, and sends it an event at once."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"event": "user_message", "event_input": "Hello"}}
    )

    event: str = Field(min_length=1, max_length=200)
    event_input: str = Field("", max_length=MAX_INPUT)
    user_info: UserInfo | None = Field(None, description="Who it is for.")
    seed_data: SeedData | None = Field(None, description=_SEED)


class EventInput(WireModel):
    """An event for a session."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "session_id": "ath_01k8zq5d3v",
                "event": "user_message",
                "event_input": "Hello",
            }
        }
    )

    session_id: str = Field(min_length=1, max_length=200)
    event: str = Field(
        min_length=1, max_length=200, description="One of `next_actions`; `poll` only asks."
    )
    event_input: str = Field("", max_length=MAX_INPUT)
    idempotency_key: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="The same as the header; the header wins.",
    )


class TaskState(WireModel):
    """Whether a session takes events now."""

    session_id: str
    ready: bool
    next_actions: list[str]


def _user_info(user_info: UserInfo | None) -> dict[str, Any] | None:
    return None if user_info is None else user_info.given()


@router.post("/start_session", response_model=AIResponse, openapi_extra=LARGE_BODY)
async def start_session(
    caller: Writer,
    runtime: RuntimeDep,
    flow: FlowKey,
    request: StartSessionRequest | None = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Start a session; the response is what its first state shows."""
    body = request or StartSessionRequest()
    start = StartSession(
        _user_info(body.user_info),
        body.seed_data,
        idempotency_key=idempotency_key,
    )
    return await json_response(await commands.start_session(runtime, caller, flow, start))


@router.post("/start_ephemeral_session", response_model=AIResponse, openapi_extra=LARGE_BODY)
async def start_ephemeral_session(
    caller: Writer,
    runtime: RuntimeDep,
    flow: FlowKey,
    request: StartEphemeralSessionRequest,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Start a session that is deleted when its time is up, and send it an event."""
    start = StartSession(
        _user_info(request.user_info),
        request.seed_data,
        request.event,
        request.event_input,
        runtime.settings.session.ephemeral_ttl_seconds,
        idempotency_key,
    )
    return await json_response(await commands.start_session(runtime, caller, flow, start))


@router.post("/sessions/{session_id}/retry", response_model=AIResponse)
async def retry(
    caller: Writer,
    runtime: RuntimeDep,
    flow: FlowKey,
    session_id: SessionId,
    *,
    step: FailedStep = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Go on from the steps that failed in the last turn; results that are there are kept."""
    return await json_response(
        await commands.retry_session(runtime, caller, flow, session_id, step, idempotency_key)
    )


@router.post("/event", response_model=AIResponse, openapi_extra=LARGE_BODY)
async def event(
    caller: Reader,
    runtime: RuntimeDep,
    flow: FlowKey,
    request: EventInput,
    *,
    idempotency_key: IdempotencyKey = None,
    wait: Wait = 0,
) -> Response:
    """Send an event, or `poll`; with `wait`, a poll is held until something changed."""
    if request.event == POLL:
        seconds = min(wait, runtime.settings.api.max_wait_seconds)
        return await json_response(
            await commands.poll(runtime, caller, flow, request.session_id, seconds)
        )
    caller.require(KeyScope.WRITE)
    key = idempotency_key or request.idempotency_key
    sent = EventRequest(request.event, request.event_input, idempotency_key=key, brings_work=True)
    return await json_response(
        await commands.send_event(runtime, caller, flow, request.session_id, sent)
    )


@router.get("/task_state/{session_id}", response_model=TaskState)
async def task_state(
    caller: Reader, runtime: RuntimeDep, flow: FlowKey, session_id: SessionId, wait: Wait = 0
) -> Response:
    """Whether the session takes events now, and which; with `wait`, held until that changed."""
    seconds = min(wait, runtime.settings.api.max_wait_seconds)
    return await json_response(
        await commands.task_state(runtime, caller, flow, session_id, seconds)
    )


@router.get("/model/{session_id}", response_model=AIResponse)
async def model(
    caller: Reader,
    runtime: RuntimeDep,
    flow: FlowKey,
    session_id: SessionId,
    path: Annotated[
        str | None, Query(max_length=1000, description="A JMESPath; none: the whole model.")
    ] = None,
) -> Response:
    """The session's model as JSON in the response, or what the path selects of it."""
    return await json_response(await read_model(runtime, caller, flow, session_id, path))


@router.post("/user_sessions")
async def list_user_sessions(
    caller: Reader,
    runtime: RuntimeDep,
    db: ListDb,
    flow: FlowKey,
    request: UserSessionsRequest | None = None,
) -> Page[SessionItem]:
    """The sessions of a user, newest first."""
    await runtime.catalog.get(caller.org_id, flow)
    items, token = await user_sessions(db, caller, flow, request or UserSessionsRequest())
    return Page(items=items, next_token=token)

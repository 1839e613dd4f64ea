"""`/v1/ai/actions`: what turns wait for people to do, and their decisions."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from app.api.deps import ChangesOfReader, ListDb, PageSize, PageToken, Reader, RuntimeDep
from app.api.http.body import LARGE_BODY
from app.api.http.keyed import KeyedRoute
from app.api.schemas import Data, Page, data_response
from app.enums import ActionKind, ActionStatus
from app.threads.actions import ActionFilter, list_actions
from app.threads.commands.decisions import action_record, resolve_action
from app.wire.actions import ActionRecord, ResolveActionRequest

router = APIRouter(prefix="/v1/ai/actions", tags=["actions"], route_class=KeyedRoute)

ActionId = Annotated[str, Path(description="Id of an action.", examples=["act_01k8zq5d3v"])]


@router.get("", response_model=Data[Page[ActionRecord]])
async def list_(
    caller: Reader,
    db: ListDb,
    *,
    status: Annotated[
        ActionStatus | None, Query(description="Whether they are open, or how they ended.")
    ] = None,
    kind: Annotated[ActionKind | None, Query(description="What is asked.")] = None,
    agent: Annotated[
        str | None, Query(max_length=200, description="Id or name of an agent.")
    ] = None,
    session: Annotated[
        str | None, Query(max_length=200, description="Id of a thread or session.")
    ] = None,
    page_token: PageToken = None,
    limit: PageSize = 50,
) -> Response:
    """The actions of threads that the caller may read, newest first."""
    filters = ActionFilter(status, kind, agent, session)
    items, token = await list_actions(db, caller, filters, limit=limit, page_token=page_token)
    return await data_response({"items": items, "next_token": token})


@router.get("/{action_id}", response_model=Data[ActionRecord])
async def get(caller: Reader, runtime: RuntimeDep, action_id: ActionId) -> Response:
    """An action."""
    return await data_response(await action_record(runtime, caller, action_id))


@router.post("/{action_id}/resolve", response_model=Data[ActionRecord], openapi_extra=LARGE_BODY)
async def resolve(
    caller: Reader,
    runtime: RuntimeDep,
    _db: ChangesOfReader,
    action_id: ActionId,
    request: ResolveActionRequest,
) -> Response:
    """Decide about an action; the turn goes on. The same decision again changes nothing."""
    return await data_response(await resolve_action(runtime, caller, action_id, request))

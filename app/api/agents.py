"""`/v1/ai/agents`: declare agents, change them, and see what a launch would start."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Response, status

from app.agents import service
from app.agents.prices import check_agent_prices
from app.agents.record import (
    AgentRecord,
    AgentRevisionRecord,
    CreateAgentRequest,
    UpdateAgentRequest,
)
from app.agents.resolve import resolve_agent
from app.api.deps import (
    Changes,
    DbDep,
    IdempotencyKey,
    ListDb,
    PageSize,
    PageToken,
    Reader,
    RuntimeDep,
    Writer,
)
from app.api.http.body import LARGE_BODY
from app.api.http.keyed import KeyedRoute
from app.api.journaled import changes_name
from app.api.schemas import Data, Page, data_response, record_response
from app.errors import faults_within
from app.idempotency.request import request_hash
from app.kit.concurrency.off_loop import off_loop
from app.sessions.turn.opening import StartIdentity
from app.sizes.limit import is_long
from app.threads.commands.launch import prepare_launch
from app.threads.commands.start import ThreadStart, start_prepared_thread
from app.threads.record import AgentThreadRecord
from app.wire.thread_requests import LaunchAgentRequest, StartAgentThreadRequest

router = APIRouter(prefix="/v1/ai/agents", tags=["agents"], route_class=KeyedRoute)

# `written`, `response_model_exclude_unset`: templates are answered as they were written, without
# defaults.

AgentId = Annotated[str, Path(description="Id of an agent.", examples=["agt_01k8zq5d3v"])]


# The domain knows only places inside the body.
_in_body = partial(faults_within, "body")


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    response_model=Data[AgentRecord],
    response_model_exclude_unset=True,
    openapi_extra=LARGE_BODY,
)
async def create(
    caller: Writer, runtime: RuntimeDep, db: Changes, request: CreateAgentRequest
) -> Response:
    """Declare an agent: a request template and the variables that fill its placeholders."""
    with _in_body():
        await runtime.catalog.check(caller.org_id, request.request_template.flow)
        llm = runtime.settings.llm
        await check_agent_prices(db, caller.org_id, request.request_template, llm)
        changes_name(db, request.name)
        record = await service.create_agent(db, caller, request)
        return await record_response(Data(data=record), status.HTTP_201_CREATED)


@router.get("", response_model=Data[Page[AgentRecord]], response_model_exclude_unset=True)
async def list_(
    caller: Reader, db: ListDb, page_token: PageToken = None, limit: PageSize = 50
) -> Response:
    """The org's agents, newest first."""
    items, token = await service.list_agents(db, caller, limit=limit, page_token=page_token)
    return await record_response(Data(data=Page(items=items, next_token=token)))


@router.get(
    "/name/{name:path}", response_model=Data[AgentRecord], response_model_exclude_unset=True
)
async def get_by_name(
    caller: Reader,
    db: DbDep,
    name: Annotated[str, Path(description="Name of an agent, percent-encoded.")],
) -> Response:
    """The agent of that name."""
    return await record_response(Data(data=await service.get_agent_by_name(db, caller, name)))


@router.get("/{agent_id}", response_model=Data[AgentRecord], response_model_exclude_unset=True)
async def get(caller: Reader, db: DbDep, agent_id: AgentId) -> Response:
    """The agent of that id."""
    return await record_response(Data(data=await service.get_agent(db, caller, agent_id)))


@router.put(
    "/{agent_id}",
    response_model=Data[AgentRecord],
    response_model_exclude_unset=True,
    openapi_extra=LARGE_BODY,
)
async def update(
    caller: Writer, runtime: RuntimeDep, db: Changes, agent_id: AgentId, request: UpdateAgentRequest
) -> Response:
    """Change what the body names, as a new revision; what it leaves out is kept."""
    with _in_body():
        if request.request_template is not None:
            await runtime.catalog.check(caller.org_id, request.request_template.flow)
            llm = runtime.settings.llm
            await check_agent_prices(db, caller.org_id, request.request_template, llm)
        before = await service.get_agent(db, caller, agent_id)
        keep = runtime.settings.revisions
        record = await service.update_agent(db, caller, agent_id, request, keep=keep)
    changes_name(db, record.name, before.name)
    return await record_response(Data(data=record))


@router.delete("/{agent_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete(caller: Writer, db: Changes, agent_id: AgentId) -> None:
    """Delete an agent. Its threads stay; its name is free again."""
    changes_name(db, (await service.get_agent(db, caller, agent_id)).name)
    await service.delete_agent(db, caller, agent_id)


@router.get(
    "/{agent_id}/revisions",
    response_model=Data[Page[AgentRevisionRecord]],
    response_model_exclude_unset=True,
)
async def revisions(
    caller: Reader,
    db: ListDb,
    agent_id: AgentId,
    page_token: PageToken = None,
    limit: PageSize = 50,
) -> Response:
    """What the agent was after each change, newest first."""
    items, token = await service.list_revisions(
        db, caller, agent_id, limit=limit, page_token=page_token
    )
    return await record_response(Data(data=Page(items=items, next_token=token)))


@router.post(
    "/{agent_id}/launch",
    status_code=status.HTTP_201_CREATED,
    response_model=Data[AgentThreadRecord],
    openapi_extra=LARGE_BODY,
)
async def launch(
    caller: Writer,
    runtime: RuntimeDep,
    agent_id: AgentId,
    request: LaunchAgentRequest,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Fill the agent's placeholders and start a thread from the result."""
    hash_ = await off_loop(
        lambda: request_hash(agent_id, request.model_dump(mode="json")), heavy=is_long(request)
    )

    async def prepare() -> ThreadStart:
        async with runtime.database.transaction() as db:
            agent = await service.get_agent(db, caller, agent_id)
            with _in_body():
                return await prepare_launch(db, caller, agent, request)

    record = await start_prepared_thread(
        runtime, caller, StartIdentity(idempotency_key, hash_), prepare
    )
    return await data_response(record, status.HTTP_201_CREATED)


@router.post(
    "/{agent_id}/preview",
    response_model=Data[StartAgentThreadRequest],
    response_model_exclude_unset=True,
    openapi_extra=LARGE_BODY,
)
async def preview(
    caller: Reader, db: DbDep, agent_id: AgentId, request: LaunchAgentRequest
) -> Response:
    """What a launch with this body would start a thread with; nothing is started."""
    agent = await service.get_agent(db, caller, agent_id)
    with _in_body():
        return await record_response(Data(data=await resolve_agent(db, caller, agent, request)))

"""`/v1/ai/threads`: start conversations, follow them as they grow, and drive them."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response, status
from pydantic import Field

from app.api.deps import (
    Changes,
    FailedStep,
    IdempotencyKey,
    ListDb,
    PageSize,
    PageToken,
    Reader,
    RuntimeDep,
    Wait,
    Writer,
)
from app.api.http.body import LARGE_BODY, max_body
from app.api.http.keyed import KeyedRoute
from app.api.schemas import Data, Page, data_response
from app.enums import ThreadVisibility
from app.threads import feedback, sharing
from app.threads.commands import send
from app.threads.commands.cancel import cancel_thread
from app.threads.commands.fork import fork_thread
from app.threads.commands.retry import retry_thread
from app.threads.commands.start import start_thread
from app.threads.commands.tool_results import submit_results
from app.threads.cursor import Cursor
from app.threads.delta import read_thread, wait_for_delta
from app.threads.feedback import SubmitFeedbackRequest, UserFeedbackRecord
from app.threads.record import AgentThreadDelta, AgentThreadRecord
from app.threads.search import SearchThreadsRequest, search_threads
from app.wire.client_tools import SubmitToolResultsRequest
from app.wire.messages import WireModel
from app.wire.thread_requests import SendMessageRequest, StartAgentThreadRequest

router = APIRouter(prefix="/v1/ai/threads", tags=["threads"], route_class=KeyedRoute)

ThreadId = Annotated[str, Path(description="Id of a thread.", examples=["ath_01k8zq5d3v"])]
MessageNumber = Annotated[int, Path(ge=0, lt=2**31, description="Index of a message, from 0.")]


class ForkAgentThreadRequest(WireModel):
    """Where to fork a thread."""

    message_sequence_num: int = Field(
        description="The last message to take over.", ge=0, lt=2**31, examples=[1]
    )


class UpdateThreadVisibilityRequest(WireModel):
    """Who may read a thread from now on."""

    visibility: ThreadVisibility


class PinThreadRequest(WireModel):
    """Whether the caller has the thread pinned."""

    pinned: bool


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    response_model=Data[AgentThreadRecord],
    openapi_extra=LARGE_BODY,
)
async def start(
    caller: Writer,
    runtime: RuntimeDep,
    request: StartAgentThreadRequest,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Start a thread; its first answer is generated at once."""
    record = await start_thread(runtime, caller, request, idempotency_key=idempotency_key)
    return await data_response(record, status.HTTP_201_CREATED)


@router.get("")
async def list_(
    caller: Reader,
    db: ListDb,
    *,
    failed: Annotated[
        bool, Query(description="Only those whose last turn failed and can be retried.")
    ] = False,
    parent_thread_id: Annotated[
        str | None,
        Query(description="Called by this thread; without it, those that no thread called."),
    ] = None,
    page_token: PageToken = None,
    limit: PageSize = 50,
) -> Data[Page[AgentThreadRecord]]:
    """The threads that the caller may read, newest first, without their messages."""
    request = SearchThreadsRequest(
        failed=failed, parent_thread_id=parent_thread_id, limit=limit, page_token=page_token
    )
    return await search(caller, db, request)


@router.post("/search")
async def search(
    caller: Reader, db: ListDb, request: SearchThreadsRequest
) -> Data[Page[AgentThreadRecord]]:
    """Find threads by status, agent, creator or text, newest first.

    A page of a text that few threads have may be short, or empty, and lead on to the next.
    """
    items, token = await search_threads(db, caller, request)
    return Data(data=Page(items=items, next_token=token))


@router.get("/{thread_id}", response_model=Data[AgentThreadRecord])
async def get(
    caller: Reader,
    runtime: RuntimeDep,
    thread_id: ThreadId,
    load_messages: Annotated[bool, Query(description="Whether to give its messages.")] = True,
) -> Response:
    """A thread; its continuation token leads on from what is given."""
    return await data_response(
        await read_thread(runtime, caller, thread_id, load_messages=load_messages)
    )


@router.get("/{thread_id}/delta", response_model=Data[AgentThreadDelta])
async def delta(
    caller: Reader,
    runtime: RuntimeDep,
    thread_id: ThreadId,
    next_token: Annotated[
        str | None, Query(max_length=500, description="A continuation token; none: all of it.")
    ] = None,
    wait: Wait = 0,
) -> Response:
    """What is new since the token: finished messages, and the one that is being generated."""
    seconds = min(wait, runtime.settings.api.max_wait_seconds)
    cursor = Cursor.parse(next_token)
    return await data_response(await wait_for_delta(runtime, caller, thread_id, cursor, seconds))


@router.post(
    "/{thread_id}/messages",
    response_model=Data[AgentThreadRecord],
    openapi_extra=LARGE_BODY,
)
async def send_message(
    caller: Writer,
    runtime: RuntimeDep,
    thread_id: ThreadId,
    request: SendMessageRequest,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Say something; read the answer with `delta`, from the token that is given here."""
    return await data_response(
        await send.send_message(runtime, caller, thread_id, request, idempotency_key)
    )


@router.post(
    "/{thread_id}/tool-results",
    response_model=Data[AgentThreadRecord],
    openapi_extra=LARGE_BODY,
)
async def submit_tool_results(
    caller: Writer,
    runtime: RuntimeDep,
    thread_id: ThreadId,
    request: SubmitToolResultsRequest,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Give back what tools of the client's did, some of those that are open, or all."""
    return await data_response(
        await submit_results(runtime, caller, thread_id, request, idempotency_key)
    )


@router.post("/{thread_id}/cancel", response_model=Data[AgentThreadRecord])
async def cancel(
    caller: Writer,
    runtime: RuntimeDep,
    _db: Changes,
    thread_id: ThreadId,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Stop the answer that is being generated; with none there is nothing to stop."""
    await cancel_thread(runtime, caller, thread_id, idempotency_key)
    return await data_response(await read_thread(runtime, caller, thread_id, load_messages=False))


@router.post(
    "/{thread_id}/retry",
    response_model=Data[AgentThreadRecord],
)
async def retry(
    caller: Writer,
    runtime: RuntimeDep,
    thread_id: ThreadId,
    *,
    step: FailedStep = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Have an answer that failed generated again; read it with `delta`, from the token given."""
    return await data_response(
        await retry_thread(runtime, caller, thread_id, step, idempotency_key)
    )


@router.post(
    "/{thread_id}/fork",
    status_code=status.HTTP_201_CREATED,
    response_model=Data[AgentThreadRecord],
)
async def fork(
    caller: Writer,
    runtime: RuntimeDep,
    thread_id: ThreadId,
    request: ForkAgentThreadRequest,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Copy a thread up to a message into a private thread of the caller's."""
    record = await fork_thread(
        runtime, caller, thread_id, request.message_sequence_num, idempotency_key
    )
    return await data_response(record, status.HTTP_201_CREATED)


@router.post("/{thread_id}/visibility")
async def set_visibility(
    caller: Writer,
    db: Changes,
    thread_id: ThreadId,
    request: UpdateThreadVisibilityRequest,
) -> Data[AgentThreadRecord]:
    """Open a thread to the org, or close it again; only who started it may."""
    return Data(data=await sharing.set_visibility(db, caller, thread_id, request.visibility))


@router.post("/{thread_id}/pin", status_code=status.HTTP_204_NO_CONTENT)
async def pin(caller: Writer, db: Changes, thread_id: ThreadId, request: PinThreadRequest) -> None:
    """Pin a thread for the caller, or unpin it; nobody else sees it."""
    await sharing.set_pinned(db, caller, thread_id, pinned=request.pinned)


@router.post("/{thread_id}/messages/{message_number}/feedback", openapi_extra=max_body(262_144))
async def submit_feedback(
    caller: Writer,
    db: Changes,
    thread_id: ThreadId,
    message_number: MessageNumber,
    request: SubmitFeedbackRequest,
) -> Data[UserFeedbackRecord]:
    """Rate an answer; rating it again replaces the rating of before."""
    return Data(data=await feedback.submit_feedback(db, caller, thread_id, message_number, request))

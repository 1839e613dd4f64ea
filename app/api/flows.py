"""`/v1/ai/flows`: which flows there are, what is in one, and a picture of it."""

from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response

from app.api import flow_views
from app.api.deps import ListDb, PageSize, PageToken, Reader, RuntimeDep
from app.api.flow_views import FlowItem, FlowRecord
from app.api.http.accept import choose
from app.api.http.problems import problem_responses
from app.api.http.route import ApiRoute
from app.api.schemas import Page
from app.api.sessions import FlowKey
from app.flows.diagram.diagram import mermaid, svg

router = APIRouter(prefix="/v1/ai/flows", tags=["flows"], route_class=ApiRoute)

SVG = "image/svg+xml"
DIAGRAM_TYPES = [SVG, "text/vnd.mermaid", "text/plain"]

Revision = Annotated[
    int | None, Query(ge=0, le=2**31 - 1, description="A revision; none: the newest.")
]
_DIAGRAM_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "SVG, or Mermaid text, as the `Accept` header says",
        "content": {media_type: {"schema": {"type": "string"}} for media_type in DIAGRAM_TYPES},
    },
    **problem_responses(406),
}


@router.get("")
async def list_(
    caller: Reader,
    runtime: RuntimeDep,
    db: ListDb,
    page_token: PageToken = None,
    limit: PageSize = 200,
) -> Page[FlowItem]:
    """The flows that the org can run, by key."""
    flows, token = await runtime.catalog.page(db, caller.org_id, limit=limit, page_token=page_token)
    return Page(items=[flow_views.flow_item(flow) for flow in flows], next_token=token)


@router.get("/{flow}")
async def get(
    caller: Reader, runtime: RuntimeDep, flow: FlowKey, revision: Revision = None
) -> FlowRecord:
    """A flow: its states, its events, the schema of its model."""
    found = await flow_views.flow_at(runtime, caller, flow, revision)
    return await to_thread.run_sync(flow_views.flow_record, found)


@router.get("/{flow}/diagram", response_class=Response, responses=_DIAGRAM_RESPONSES)
async def diagram(
    request: Request,
    caller: Reader,
    runtime: RuntimeDep,
    flow: FlowKey,
    *,
    revision: Revision = None,
    session_id: Annotated[
        str | None, Query(max_length=200, description="Mark the state that this session is in.")
    ] = None,
) -> Response:
    """The flow as a picture (`image/svg+xml`) or as Mermaid text (`text/vnd.mermaid`)."""
    media_type = choose(",".join(request.headers.getlist("accept")), DIAGRAM_TYPES)
    if session_id is None:
        drawn, state = await flow_views.flow_at(runtime, caller, flow, revision), None
    else:
        drawn, state = await flow_views.flow_of_session(runtime, caller, flow, revision, session_id)
    # A large flow takes long enough to hold up others.
    text = await to_thread.run_sync(svg if media_type == SVG else mermaid, drawn, state)
    # Opened as a page of its own, it must run nothing; it runs nothing inside another page.
    headers = {
        "Vary": "Accept",
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(text, media_type=media_type, headers=headers)

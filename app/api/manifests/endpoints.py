"""`/api/v1/cli`: apply, describe, get, delete and the other verbs on resources of every kind."""

from typing import Annotated

from fastapi import Path, Query, Request, Response

from app.api.deps import CallerDep, FailedStep, IdempotencyKey
from app.api.manifests.answers import ManifestAnswer, ServiceDep, answer_response, manifest_router
from app.api.manifests.parameters import (
    MANIFEST_BODY,
    PROMPT_BODY,
    Kind,
    Mode,
    Name,
    PruneKinds,
    Selector,
)
from app.errors import BadRequestError
from app.manifests.model.table import GetQuery
from app.manifests.verbs.prune import Prune

router = manifest_router()


@router.post("/apply/", response_model=ManifestAnswer, openapi_extra=MANIFEST_BODY)
async def apply(
    caller: CallerDep,
    service: ServiceDep,
    request: Request,
    prune: PruneKinds = [],  # noqa: B006 - FastAPI makes a list of its own
    selector: Selector = None,
    *,
    mode: Mode,
) -> Response:
    """Create or change what the documents declare; all of them, or none."""
    if selector and not prune:
        msg = "it narrows what is pruned; say of which kinds"
        raise BadRequestError(
            f"selector: {msg}.", errors=[{"loc": ["query", "selector"], "msg": msg}]
        )
    what = Prune(prune, selector) if prune else None
    body = await request.body()
    return await answer_response(await service.apply(caller, body, mode, what))


@router.post("/diff/", response_model=ManifestAnswer, openapi_extra=MANIFEST_BODY)
async def diff(caller: CallerDep, service: ServiceDep, request: Request) -> Response:
    """What an apply would change; a key that may only read will do."""
    return await answer_response(await service.diff(caller, await request.body()))


@router.post("/describe/{kind}/", response_model=ManifestAnswer)
async def describe(caller: CallerDep, service: ServiceDep, kind: Kind, name: Name) -> Response:
    """The manifest of a resource with its status; it can be applied again."""
    return await answer_response(await service.describe(caller, kind, name))


@router.post("/get/{kind}/", response_model=ManifestAnswer)
async def get(  # noqa: PLR0917 - one for each query parameter
    caller: CallerDep,
    service: ServiceDep,
    kind: Kind,
    name: Name,
    i: Annotated[int, Query(description="Most items.", ge=1, le=1000)] = 10,
    asc: Annotated[
        str | None, Query(description="Column to sort by; or true, or false.", max_length=100)
    ] = None,
    desc: Annotated[str | None, Query(description="As asc, downwards.", max_length=100)] = None,
    *,
    failed: Annotated[
        bool, Query(description="Sessions whose last turn failed and can be retried.")
    ] = False,
    flow: Annotated[str | None, Query(description="Sessions of a flow.", max_length=200)] = None,
    agent: Annotated[
        str | None, Query(description="Sessions of an agent, by name or id.", max_length=200)
    ] = None,
    selector: Selector = None,
    manifests: Annotated[bool, Query(description="Show the manifest of each item, too.")] = False,
    page_token: Annotated[
        str | None, Query(description="`nextToken` of the page before.", max_length=2_000)
    ] = None,
) -> Response:
    """Resources of a kind as a table."""
    given = {
        "name": name or None,
        "i": i,
        "asc": asc or None,
        "desc": desc or None,
        "failed": failed,
        "flow": flow or None,
        "agent": agent or None,
        "selector": selector or None,
        "manifests": manifests,
        "pageToken": page_token or None,
    }
    query = GetQuery.model_validate({key: value for key, value in given.items() if value})
    return await answer_response(await service.get(caller, kind, query))


@router.post("/delete/{kind}/", response_model=ManifestAnswer)
async def delete(
    caller: CallerDep, service: ServiceDep, kind: Kind, name: Name, mode: Mode
) -> Response:
    """Delete a resource that no other names."""
    return await answer_response(await service.delete(caller, kind, name, mode))


@router.post("/deploy/{kind}/", response_model=ManifestAnswer)
async def deploy(
    caller: CallerDep, service: ServiceDep, kind: Kind, name: Name, mode: Mode
) -> Response:
    """Let a resource be prompted."""
    return await answer_response(await service.deploy(caller, kind, name, mode))


@router.post("/undeploy/{kind}/", response_model=ManifestAnswer)
async def undeploy(
    caller: CallerDep, service: ServiceDep, kind: Kind, name: Name, mode: Mode
) -> Response:
    """Let a resource not be prompted any more."""
    return await answer_response(await service.undeploy(caller, kind, name, mode))


@router.post("/retry/{kind}/", response_model=ManifestAnswer)
async def retry(
    caller: CallerDep,
    service: ServiceDep,
    kind: Kind,
    name: Name,
    step: FailedStep = None,
    *,
    mode: Mode,
) -> Response:
    """Let the turn of a session that failed go on from the steps that failed."""
    return await answer_response(await service.retry(caller, kind, name, step, mode))


@router.post("/history/{kind}/", response_model=ManifestAnswer)
async def history(caller: CallerDep, service: ServiceDep, kind: Kind, name: Name) -> Response:
    """The revisions of a flow or an agent, newest first."""
    return await answer_response(await service.history(caller, kind, name))


@router.post("/undo/{kind}/", response_model=ManifestAnswer)
async def undo(
    caller: CallerDep,
    service: ServiceDep,
    kind: Kind,
    name: Name,
    revision: Annotated[
        int | None, Query(description="To go back to; none: the one before.", ge=1, le=2**31 - 1)
    ] = None,
    *,
    mode: Mode,
) -> Response:
    """Make a flow or an agent again what it was at a revision; that is a new revision."""
    return await answer_response(await service.undo(caller, kind, name, revision, mode))


@router.post("/logs/{kind}/", response_model=ManifestAnswer)
async def logs(
    caller: CallerDep,
    service: ServiceDep,
    kind: Kind,
    name: Name,
    i: Annotated[int, Query(description="Most entries.", ge=1, le=1000)] = 100,
) -> Response:
    """What happened with a resource: its journal; of agents and sessions, events and steps too."""
    return await answer_response(await service.logs(caller, kind, name, i))


@router.post("/example-manifest/{kind}/", response_model=ManifestAnswer)
@router.post("/example_manifest/{kind}/", response_model=ManifestAnswer, include_in_schema=False)
async def example_manifest(caller: CallerDep, service: ServiceDep, kind: Kind) -> Response:
    """A manifest of the kind that applies as it is."""
    return await answer_response(await service.example_manifest(caller, kind))


@router.post("/json-schema/{kind}/", response_model=ManifestAnswer)
async def json_schema(caller: CallerDep, service: ServiceDep, kind: Kind) -> Response:
    """The JSON Schema of the kind's manifests."""
    return await answer_response(await service.json_schema(caller, kind))


@router.post(
    "/prompt/{name:path}/",
    response_model=ManifestAnswer,
    openapi_extra=PROMPT_BODY,
)
async def prompt(
    caller: CallerDep,
    service: ServiceDep,
    request: Request,
    name: Annotated[str, Path(description="Name of an agent.")],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Launch a session of an agent, and wait for its answer; with a key, for that of the same."""
    body = await request.body()
    return await answer_response(await service.prompt(caller, name, body, idempotency_key))

"""`/api/v1/cli`: apply, describe, get, delete and the other verbs on resources of every kind."""

from importlib.metadata import version as package_version
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field
from redis.exceptions import RedisError
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.api.deps import CallerDep, FailedStep, IdempotencyKey, RuntimeDep
from app.api.http.problems import problem_responses
from app.api.manifests.parameters import (
    MANIFEST_BODY,
    PROMPT_BODY,
    DryRun,
    Kind,
    Name,
    PruneKinds,
    Selector,
)
from app.api.manifests.route import ManifestRoute
from app.db.models import Org
from app.errors import BadRequestError
from app.manifests.model.envelope import API_VERSION
from app.manifests.model.table import GetQuery
from app.manifests.registry import all_brokers
from app.manifests.verbs.prune import Prune
from app.manifests.verbs.resources import api_resources
from app.manifests.verbs.runner import Answer
from app.manifests.verbs.service import ManifestService


class AnswerMetadata(BaseModel):
    """Which verb it was, and where the journal has it."""

    command: str = Field(description="The verb.", examples=["apply"])
    key: str = Field(description="Key of the journal entry.", examples=["jrn_01k8zq5d3v"])


class ManifestAnswer(BaseModel):
    """The answer of every verb."""

    data: Any = Field(description="What the verb gives; its shape is the verb's own.")
    message: str = Field(description="For people.", examples=["Agent x applied successfully"])
    api: str = Field(description="The version of the manifests.", examples=[API_VERSION])
    thing: str | None = Field(None, description="The kind.", examples=["Agent"])
    metadata: AnswerMetadata


router = APIRouter(
    prefix="/api/v1/cli",
    tags=["manifests"],
    route_class=ManifestRoute,
    responses=problem_responses(405, 501, 502, 504),
)


async def _service(request: Request) -> ManifestService:
    service: ManifestService = request.app.state.manifests
    return service


ServiceDep = Annotated[ManifestService, Depends(_service)]


@router.post("/apply/", response_model=ManifestAnswer, openapi_extra=MANIFEST_BODY)
async def apply(
    caller: CallerDep,
    service: ServiceDep,
    request: Request,
    prune: PruneKinds = [],  # noqa: B006 - FastAPI makes a list of its own
    selector: Selector = None,
    *,
    dry_run: DryRun = False,
) -> Response:
    """Create or change what the documents declare; all of them, or none."""
    if selector and not prune:
        msg = "it narrows what is pruned; say of which kinds"
        raise BadRequestError(
            f"selector: {msg}.", errors=[{"loc": ["query", "selector"], "msg": msg}]
        )
    what = Prune(prune, selector) if prune else None
    body = await request.body()
    return _rendered(await service.apply(caller, body, dry_run=dry_run, prune=what))


@router.post("/diff/", response_model=ManifestAnswer, openapi_extra=MANIFEST_BODY)
async def diff(caller: CallerDep, service: ServiceDep, request: Request) -> Response:
    """What an apply would change; a key that may only read will do."""
    return _rendered(await service.diff(caller, await request.body()))


@router.post("/describe/{kind}/", response_model=ManifestAnswer)
async def describe(caller: CallerDep, service: ServiceDep, kind: Kind, name: Name) -> Response:
    """The manifest of a resource with its status; it can be applied again."""
    return _rendered(await service.describe(caller, kind, name))


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
    return _rendered(await service.get(caller, kind, query))


@router.post("/delete/{kind}/", response_model=ManifestAnswer)
async def delete(
    caller: CallerDep,
    service: ServiceDep,
    kind: Kind,
    name: Name,
    *,
    dry_run: DryRun = False,
) -> Response:
    """Delete a resource that no other names."""
    return _rendered(await service.delete(caller, kind, name, dry_run=dry_run))


@router.post("/deploy/{kind}/", response_model=ManifestAnswer)
async def deploy(
    caller: CallerDep,
    service: ServiceDep,
    kind: Kind,
    name: Name,
    *,
    dry_run: DryRun = False,
) -> Response:
    """Let a resource be prompted."""
    return _rendered(await service.deploy(caller, kind, name, dry_run=dry_run))


@router.post("/undeploy/{kind}/", response_model=ManifestAnswer)
async def undeploy(
    caller: CallerDep,
    service: ServiceDep,
    kind: Kind,
    name: Name,
    *,
    dry_run: DryRun = False,
) -> Response:
    """Let a resource not be prompted any more."""
    return _rendered(await service.undeploy(caller, kind, name, dry_run=dry_run))


@router.post("/retry/{kind}/", response_model=ManifestAnswer)
async def retry(
    caller: CallerDep,
    service: ServiceDep,
    kind: Kind,
    name: Name,
    step: FailedStep = None,
    *,
    dry_run: DryRun = False,
) -> Response:
    """Let the turn of a session that failed go on from the steps that failed."""
    return _rendered(await service.retry(caller, kind, name, step, dry_run=dry_run))


@router.post("/logs/{kind}/", response_model=ManifestAnswer)
async def logs(
    caller: CallerDep,
    service: ServiceDep,
    kind: Kind,
    name: Name,
    i: Annotated[int, Query(description="Most entries.", ge=1, le=1000)] = 100,
) -> Response:
    """What happened with a resource: its journal; of agents and sessions, events and steps too."""
    return _rendered(await service.logs(caller, kind, name, i))


@router.post("/example-manifest/{kind}/", response_model=ManifestAnswer)
@router.post("/example_manifest/{kind}/", response_model=ManifestAnswer, include_in_schema=False)
async def example_manifest(caller: CallerDep, service: ServiceDep, kind: Kind) -> Response:
    """A manifest of the kind that applies as it is."""
    return _rendered(await service.example_manifest(caller, kind))


@router.post("/json-schema/{kind}/", response_model=ManifestAnswer)
async def json_schema(caller: CallerDep, service: ServiceDep, kind: Kind) -> Response:
    """The JSON Schema of the kind's manifests."""
    return _rendered(await service.json_schema(caller, kind))


@router.post(
    "/prompt/{name:path}/",
    response_model=ManifestAnswer,
    openapi_extra=PROMPT_BODY,
    responses=problem_responses(422),
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
    return _rendered(await service.prompt(caller, name, body, idempotency_key))


@router.post("/api-resources/", response_model=ManifestAnswer)
async def resources(caller: CallerDep, service: ServiceDep) -> Response:
    """The kinds: how they are spelled, their verbs, and in which order they can be applied."""

    async def collect(_db: AsyncSession) -> list[dict[str, Any]]:
        return api_resources(all_brokers())

    return _rendered(await service.report(caller, "api_resources", collect))


@router.post("/status/", response_model=ManifestAnswer)
async def status(caller: CallerDep, service: ServiceDep, runtime: RuntimeDep) -> Response:
    """Whether the parts of the service are there."""

    async def collect(_db: AsyncSession) -> dict[str, str]:
        try:
            redis = "ok" if await runtime.redis.ping() else "missing"
        except (RedisError, OSError):
            redis = "missing"
        return {"postgresql": "ok", "redis": redis}

    return _rendered(await service.report(caller, "status", collect))


@router.post("/version/", response_model=ManifestAnswer)
async def version(caller: CallerDep, service: ServiceDep) -> Response:
    """The version of the service."""

    async def collect(_db: AsyncSession) -> dict[str, str]:
        return {"version": package_version("statewright"), "apiVersion": API_VERSION}

    return _rendered(await service.report(caller, "version", collect))


@router.post("/whoami/", response_model=ManifestAnswer)
async def whoami(caller: CallerDep, service: ServiceDep) -> Response:
    """The org, the user and the key of the request."""

    async def collect(db: AsyncSession) -> dict[str, Any]:
        org = (await db.exec(select(Org.name).where(Org.id == caller.org_id))).one()
        return {
            "account": {"id": caller.org_id, "name": org},
            "user": {"id": caller.user_id, "email": caller.email},
            "authToken": {"id": caller.key_id, "scopes": sorted(caller.scopes)},
        }

    return _rendered(await service.report(caller, "whoami", collect))


def _rendered(answer: Answer) -> Response:
    body = {
        "data": answer.data,
        "message": answer.message,
        "api": API_VERSION,
        "thing": answer.thing,
        "metadata": {"command": answer.command, "key": answer.key},
    }
    return Response(orjson.dumps(body), media_type="application/json")

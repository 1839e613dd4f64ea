"""The verbs about the service itself: its kinds, its parts, its version, and who asks."""

from importlib.metadata import version as package_version
from typing import Any

from fastapi import Response
from redis.exceptions import RedisError
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.api.deps import CallerDep, RuntimeDep
from app.api.manifests.answers import ManifestAnswer, ServiceDep, answer_response, manifest_router
from app.db.models import Org
from app.manifests.model.envelope import API_VERSION
from app.manifests.registry import all_brokers
from app.manifests.verbs.resources import api_resources

router = manifest_router()


@router.post("/api-resources/", response_model=ManifestAnswer)
async def resources(caller: CallerDep, service: ServiceDep) -> Response:
    """The kinds: how they are spelled, their verbs, and in which order they can be applied."""

    async def collect(_db: AsyncSession) -> list[dict[str, Any]]:
        return api_resources(all_brokers())

    return await answer_response(await service.report(caller, "api_resources", collect))


@router.post("/status/", response_model=ManifestAnswer)
async def status(caller: CallerDep, service: ServiceDep, runtime: RuntimeDep) -> Response:
    """Whether the parts of the service are there."""

    async def collect(_db: AsyncSession) -> dict[str, str]:
        try:
            redis = "ok" if await runtime.redis.ping() else "missing"
        except (RedisError, OSError):
            redis = "missing"
        return {"postgresql": "ok", "redis": redis}

    return await answer_response(await service.report(caller, "status", collect))


@router.post("/version/", response_model=ManifestAnswer)
async def version(caller: CallerDep, service: ServiceDep) -> Response:
    """The version of the service."""

    async def collect(_db: AsyncSession) -> dict[str, str]:
        return {"version": package_version("statewright"), "apiVersion": API_VERSION}

    return await answer_response(await service.report(caller, "version", collect))


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

    return await answer_response(await service.report(caller, "whoami", collect))

"""Composes the API process: `uvicorn --factory app.main:create_app`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from app.access.crypto import Vault
from app.access.key_cache import KeyCache
from app.api import (
    actions,
    agents,
    datasets,
    flows,
    health,
    sessions,
    skills,
    threads,
    usage,
)
from app.api.http import problems
from app.api.http.body import BodyReads
from app.api.http.cors import cors
from app.api.http.head import HeadLimitMiddleware
from app.api.http.limits.quotas import Quotas
from app.api.http.methods import HeadMiddleware
from app.api.http.openapi.document import DESCRIPTION, TAGS, StatewrightApi, operation_id
from app.api.http.openapi.pages import add_docs
from app.api.http.prefix import PrefixMiddleware
from app.api.http.request_log import RequestLogMiddleware
from app.api.manifests import about
from app.api.manifests import endpoints as manifests
from app.api.manifests.route import handle_http_error
from app.flows.library import code_flows
from app.invokers.llm import check_llm_settings
from app.kit.concurrency.loop_lag import watch_loop
from app.kit.log import configure_logging
from app.kit.signals import when_asked_to_stop
from app.manifests.verbs.service import ManifestService
from app.sessions.runtime import Runtime
from app.settings import DEV_SECRET_KEY, Settings, get_settings

# One line for each endpoint group; all of them need a key.
ROUTERS: list[APIRouter] = [
    flows.router,  # before the sessions, whose path has any flow where it has `flows`
    sessions.router,  # before the rest: routes are tried in order, and these are asked most
    threads.router,
    actions.router,
    usage.router,
    agents.router,
    datasets.router,
    skills.router,
    manifests.router,
    about.router,
]


def create_app(settings: Settings | None = None) -> FastAPI:
    """The API, ready to be served. Nothing is connected before its lifespan starts.

    Raises:
        LlmSettingsError: the default provider of models is set wrongly.
        FlowPackageError: the flows in code cannot be served.
        DefaultSecretKeyError: the secret key is the default one, and this is not dev mode.
    """
    settings = settings or get_settings()
    _refuse_default_key(settings)
    configure_logging(settings.log_level)
    check_llm_settings(settings.llm, settings.security.egress_allow)  # as workers do
    code_flows(settings.flows_package)  # what is wrong with them is raised before anything starts
    app = StatewrightApi(
        title="Statewright",
        version=version("statewright"),
        description=DESCRIPTION,
        license_info={"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        contact={"name": "The maintainers of Statewright"},
        openapi_tags=TAGS,
        lifespan=_lifespan,
        generate_unique_id_function=operation_id,
        docs_url=None,
        redoc_url=None,
        middleware=[  # from the outside in
            Middleware(PrefixMiddleware, prefix=settings.api.root_path),
            Middleware(RequestLogMiddleware),
            *cors(settings.api.cors_origins),
            Middleware(HeadMiddleware),
            Middleware(problems.ProblemMiddleware),
            Middleware(HeadLimitMiddleware, max_bytes=settings.api.max_head_bytes),
        ],
        exception_handlers={
            **dict.fromkeys(problems.HANDLED, problems.handle),
            HTTPException: handle_http_error,
        },
    )
    app.state.settings = settings
    for router in ROUTERS:
        app.include_router(router, responses=problems.DEFAULT_RESPONSES)
    app.include_router(health.router)
    add_docs(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    # Made when they are first asked for, they would hold up the loop for 0.1 s.
    tuple(iter_route_contexts(app.routes))
    async with (
        Runtime.open(settings, pool_size=settings.api.pool_size) as runtime,
        KeyCache.open(runtime.database.pool, settings.session_url) as keys,
    ):
        app.state.keys = keys
        app.state.runtime = runtime
        app.state.database = runtime.database
        app.state.redis = runtime.redis
        vault = Vault(settings.security.encryption_keys)
        app.state.manifests = ManifestService(runtime, vault)
        app.state.quotas = Quotas(settings.requests)
        app.state.body_reads = reads = BodyReads(settings.api.body_seconds)
        with (
            when_asked_to_stop(runtime.wakeups.end_waits),
            when_asked_to_stop(reads.end),
            watch_loop(),
        ):
            yield


class DefaultSecretKeyError(RuntimeError):
    """A default secret key: anyone who reads the source could make valid API keys."""


def _refuse_default_key(settings: Settings) -> None:
    if not settings.dev and settings.security.secret_key.get_secret_value() == DEV_SECRET_KEY:
        raise DefaultSecretKeyError(
            "STATEWRIGHT_SECURITY__SECRET_KEY is not set. Set it to a long random text, such as "
            "the output of `openssl rand -base64 32`, and keep it: API keys depend on it."
        )

"""The one place that renders errors: RFC 9457 problem documents, never a stack trace."""

import math
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typing_extensions import TypeAliasType

from app.api.http.methods import allow
from app.db.failures import is_database_failure, is_statement_timeout, is_write_conflict
from app.errors import (
    BadRequestError,
    ConflictError,
    FieldError,
    StatewrightError,
    UnavailableError,
    error_text,
    public_text,
)
from app.kit.paging import PageTokenError

MEDIA_TYPE = "application/problem+json"

_log = structlog.get_logger(__name__)

_UNAVAILABLE = (RedisConnectionError, RedisTimeoutError)
_RETRY_SECONDS = 1

# Of a problem: what is wrong with an input may be as long as the input, many times.
_MAX_BYTES = 250_000
_MAX_FAULTS = 100
_MAX_FAULT_CHARS = 50_000
_MAX_KEYS = 50
_MAX_KEY = 200
_MAX_MSG = 2_000


ProblemKey = TypeAliasType("ProblemKey", str | int)


class ProblemError(BaseModel):
    """One fault of a bad input."""

    loc: list[ProblemKey] = Field(description="Path of keys and indexes to the faulty value")
    msg: str = Field(description="What is wrong with it")
    type: str | None = Field(None, description="Kind of fault, for programs")


class Problem(BaseModel):
    """What went wrong, as in RFC 9457. Some problems have more members."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="`urn:statewright:problem:` and a stable code, for programs")
    title: str = Field(description="The kind of problem in a few words")
    status: int = Field(description="The HTTP status")
    detail: str = Field(description="What went wrong this time, for people")
    instance: str | None = Field(None, description="Path of the request")
    errors: list[ProblemError] | None = Field(
        None, description="For bad input: each fault; the first of many"
    )


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a router or an operation: these statuses are problem documents."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


# What every endpoint that needs a key may answer.
DEFAULT_RESPONSES = problem_responses(400, 401, 403, 404, 409, 413, 429, 503)


def problem_of(error: StatewrightError, instance: str) -> Response:
    """The problem document of an error, with the headers that go with its status."""
    document: dict[str, Any] = {
        "type": f"urn:statewright:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error_text(error.detail),
        "instance": instance,
    }
    if error.errors:
        document["errors"] = _first_faults(error.errors)
    headers = {}
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    # default=str: an error must be rendered even if someone put an odd value into `extra`.
    content = orjson.dumps(error.extra | document, default=str)
    if len(content) > _MAX_BYTES:
        content = orjson.dumps(document)
    return Response(content, error.status, headers, MEDIA_TYPE)


def _first_faults(faults: list[FieldError]) -> list[FieldError]:
    """The first of the faults, which is where somebody begins to put them right."""
    shown: list[FieldError] = []
    left = _MAX_FAULT_CHARS
    for fault in faults[:_MAX_FAULTS]:
        loc = [part[:_MAX_KEY] if isinstance(part, str) else part for part in fault["loc"]]
        short: FieldError = {**fault, "loc": loc[:_MAX_KEYS], "msg": fault["msg"][:_MAX_MSG]}
        left -= len(short["msg"]) + sum(len(str(part)) for part in short["loc"])
        if left < 0:
            break
        shown.append(short)
    return shown


class StatementTimeoutError(UnavailableError):
    """A statement of the request that PostgreSQL ended at its limit."""

    code = "statement-timeout"
    title = "Statement timeout"


class _InternalError(StatewrightError):
    """A fault of ours. The log has the details, the client does not."""


def as_statewright_error(error: Exception) -> StatewrightError:
    """The error that a client sees for any exception that reached the edge."""
    if isinstance(error, StatewrightError):
        return error
    if isinstance(error, RequestValidationError):
        return _bad_request(error)
    if isinstance(error, PageTokenError):
        text = public_text(error)
        return BadRequestError(text, errors=[{"loc": ["query", "page_token"], "msg": text}])
    return _public_error(error)


def _public_error(error: Exception) -> StatewrightError:
    """What a client may know of an error that no code of ours raised."""
    if is_statement_timeout(error):
        _log.warning("a statement took too long", exc_info=error)
        return StatementTimeoutError(
            "The database was asked for more than it finds in the time for one request; ask for"
            " less, or try again.",
            retry_after=_RETRY_SECONDS,
        )
    if isinstance(error, _UNAVAILABLE) or is_database_failure(error):
        _log.warning("a part of the service failed", exc_info=error)
        return UnavailableError(
            "A part of the service is away or busy; try again.", retry_after=_RETRY_SECONDS
        )
    if is_write_conflict(error):
        _log.warning("two requests at once", exc_info=error)
        return ConflictError(
            "What this is about was changed or deleted at the same time; nothing was done."
        )
    _log.error("unexpected error", exc_info=error)
    return _InternalError("Something went wrong on our side; the log has it under `request_id`.")


def _bad_request(error: RequestValidationError) -> BadRequestError:
    """All faults of an input, the first also in words."""
    faults = error.errors()
    errors: list[FieldError] = [
        {
            "loc": list(fault["loc"]),
            "msg": fault["msg"].removeprefix("Value error, "),
            "type": fault["type"],
        }
        for fault in faults[:_MAX_FAULTS]
    ]
    if isinstance(error.body, bytes):
        detail = "Send the body as JSON, with the header `Content-Type: application/json`."
    else:
        place = ".".join(str(part)[:_MAX_KEY] for part in errors[0]["loc"][:_MAX_KEYS])
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        detail = f"{place}: {errors[0]['msg']}{more}"
    return BadRequestError(detail, errors=errors)


def _http_problem(error: HTTPException, instance: str, extra: dict[str, Any]) -> Response:
    """What the framework refuses: an unknown path, a method that the path does not have."""
    phrase = HTTPStatus(error.status_code).phrase
    document = {
        **extra,
        "type": f"urn:statewright:problem:{phrase.lower().replace(' ', '-')}",
        "title": phrase,
        "status": error.status_code,
        "detail": str(error.detail),
        "instance": instance,
    }
    return Response(orjson.dumps(document), error.status_code, error.headers, MEDIA_TYPE)


def render(
    error: Exception, instance: str, framework_extra: dict[str, Any] | None = None
) -> Response:
    """The answer to a request that ended with this exception.

    Args:
        error: why it ended.
        instance: path of the request.
        framework_extra: members added to the problem, where the framework refused the request.
    """
    if isinstance(error, HTTPException):
        return _http_problem(error, instance, framework_extra or {})
    seen = as_statewright_error(error)
    if isinstance(seen, _InternalError):
        seen.extra["request_id"] = structlog.contextvars.get_contextvars().get("request_id")
    return problem_of(seen, instance)


async def handle(
    request: Request, error: Exception, framework_extra: dict[str, Any] | None = None
) -> Response:
    """Exception handler of the application."""
    if isinstance(error, HTTPException) and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        error.headers = {"Allow": allow(request.app.routes, request.scope)}
    return render(error, request.url.path, framework_extra)


HANDLED: tuple[type[Exception], ...] = (StatewrightError, RequestValidationError, HTTPException)


class ProblemMiddleware:
    """Renders what no handler took, and what the middleware further in raises."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def note_start(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, note_start)
        except Exception as error:
            if scope["type"] != "http" or started:
                raise
            await render(error, scope["path"])(scope, receive, send)

"""Whatever a model request raised, as an error of the invoker contract, without the API key."""

from collections.abc import Iterator

import httpx2
from pydantic_ai.exceptions import (
    ContentFilterError,
    ModelAPIError,
    ModelConnectionError,
    ModelHTTPError,
    ModelRequestTimeout,
    UserError,
)

from app.invokers.chat_models.answers import UpstreamError
from app.invokers.invoker import FailureKind, InvokerError, TransientInvokerError
from app.invokers.web.http_client import failure_kind
from app.invokers.web.statuses import may_pass, status_error

_MAX_TEXT = 500
_MAX_FAULTS = 10
# What bodies call an error that has a status of its own.
_TRANSIENT_WORDS = {
    "api_error": 500,
    "overloaded_error": 529,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "server_error": 500,
    "internal_error": 500,
    "internal_server_error": 500,
    "service_unavailable": 503,
    "timeout_error": 504,
    "timeout": 504,
}


def as_invoker_error(error: Exception, api_key: str) -> InvokerError:
    """The error that the step sees.

    Args:
        error: what pydantic-ai, an SDK or the HTTP client raised.
        api_key: is taken out of the text, should the other side repeat it.
    """
    for cause in causes(error):
        if isinstance(cause, InvokerError):  # of our own HTTP client, wrapped by the SDK
            return cause
        if isinstance(cause, UpstreamError):
            return _from_body(cause.body, api_key)
    if isinstance(error, ModelHTTPError):
        return _from_status(error, api_key)
    text = _clean(_plain_text(error), api_key)
    if _may_pass(error):
        return TransientInvokerError(f"the model did not answer: {text}", kind=_kind(error))
    return InvokerError(f"the model request failed: {text}")


def _from_status(error: ModelHTTPError, api_key: str) -> InvokerError:
    text = f"the model answered {error.status_code}: {_clean(_upstream_text(error.body), api_key)}"
    return status_error(text, error.status_code, error.headers or {})


def _from_body(body: object, api_key: str) -> InvokerError:
    """An error that came with status 200: what it says decides whether it may pass."""
    text = f"the model answered with an error: {_clean(_upstream_text(body), api_key)}"
    statuses = [status for word in _codes(body) if (status := _status_of(word))]
    passing = [status for status in statuses if may_pass(status)]
    if passing:
        return TransientInvokerError(text, status=passing[0])
    return InvokerError(text, status=statuses[0] if statuses else None)


def _codes(body: object) -> list[str]:
    """What an error body is called by, as a number or a word."""
    if not isinstance(body, dict):
        return []
    inner = body.get("error")
    members = {**body, **(inner if isinstance(inner, dict) else {})}
    return [str(members[name]) for name in ("code", "type", "status") if name in members]


def _status_of(word: str) -> int | None:
    if word.isdecimal() and len(word) == 3:  # noqa: PLR2004 - a status
        return int(word)
    return _TRANSIENT_WORDS.get(word)


def _kind(error: Exception) -> FailureKind:
    """What failed in a request that may work later; the client's own error says it best."""
    for cause in causes(error):
        if isinstance(cause, httpx2.HTTPError):
            return failure_kind(cause)
        if isinstance(cause, ModelRequestTimeout):
            return FailureKind.TIMEOUT
    connection = isinstance(error, ModelConnectionError)
    return FailureKind.CONNECTION if connection else FailureKind.ANSWER


def _may_pass(error: Exception) -> bool:
    """Connections, timeouts, cut streams and answers that cannot be read may be fine next time."""
    return not (isinstance(error, ContentFilterError | UserError) or _is_redirect(error))


def _is_redirect(error: Exception) -> bool:
    """Whether the SDK got a status under 400, which pydantic-ai gives no class of its own."""
    return any(isinstance(getattr(cause, "status_code", None), int) for cause in causes(error))


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from, the latest first."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _plain_text(error: Exception) -> str:
    """The error's own text; where that may quote an answer that could not be read, ours."""
    if _is_redirect(error):
        return "it redirects elsewhere, and redirects are not followed"
    if isinstance(error, ModelRequestTimeout | httpx2.TimeoutException):
        return "no answer in time"
    if isinstance(error, ModelConnectionError | httpx2.HTTPError):
        return "the connection failed"
    if isinstance(error, UserError) or (isinstance(error, ModelAPIError) and error.in_stream):
        return error.message
    if isinstance(error, ContentFilterError):
        return "the answer was withheld by the provider's content filter"
    return "its answer cannot be read"


def _upstream_text(body: object) -> str:
    """The message in an error body, which every provider nests a little differently."""
    match body:
        case (
            {"message": str(text)}
            | {"error": str(text)}
            | {"detail": str(text)}
            | {"msg": str(text)}
        ):
            return text
        case {"error": dict(inner)} | {"detail": dict(inner)}:
            return _upstream_text(inner)
        case {"detail": list(faults)}:
            return "; ".join(_upstream_text(fault) for fault in faults[:_MAX_FAULTS])
        case str(text):
            return text
        case _:
            return "no further explanation"


def _clean(text: str, api_key: str) -> str:
    if api_key:
        text = text.replace(api_key, "***")
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"

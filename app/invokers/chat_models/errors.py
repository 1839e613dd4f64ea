"""Whatever a model request raised, as an error of the invoker contract, without the API key."""

from collections.abc import Iterator

import httpx2
from pydantic_ai.exceptions import (
    ContentFilterError,
    ModelAPIError,
    ModelConnectionError,
    ModelHTTPError,
    ModelRequestTimeout,
    UnexpectedModelBehavior,
    UserError,
)

from app.invokers.chat_models.answers import UpstreamError
from app.invokers.invoker import InvokerError, TransientInvokerError

_MAX_TEXT = 500
_MAX_FAULTS = 10
# Request timeout, too early, too many requests; and all of 5xx.
_TRANSIENT_STATUSES = frozenset({408, 425, 429})
_TRANSIENT_WORDS = frozenset(
    {
        "api_error",
        "overloaded_error",
        "rate_limit_error",
        "rate_limit_exceeded",
        "server_error",
        "internal_error",
        "internal_server_error",
        "service_unavailable",
        "timeout_error",
        "timeout",
    }
)


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
        return TransientInvokerError(f"the model did not answer: {text}")
    return InvokerError(f"the model request failed: {text}")


def _from_status(error: ModelHTTPError, api_key: str) -> InvokerError:
    text = f"the model answered {error.status_code}: {_clean(_upstream_text(error.body), api_key)}"
    if error.status_code in _TRANSIENT_STATUSES or error.status_code >= 500:  # noqa: PLR2004 - 5xx
        return TransientInvokerError(text, retry_after=error.retry_after)
    return InvokerError(text)


def _from_body(body: object, api_key: str) -> InvokerError:
    """An error that came with status 200: what it says decides whether it may pass."""
    text = f"the model answered with an error: {_clean(_upstream_text(body), api_key)}"
    passes = any(word in _TRANSIENT_WORDS or _is_transient(word) for word in _codes(body))
    return TransientInvokerError(text) if passes else InvokerError(text)


def _codes(body: object) -> list[str]:
    """What an error body is called by, as a number or a word."""
    if not isinstance(body, dict):
        return []
    inner = body.get("error")
    members = {**body, **(inner if isinstance(inner, dict) else {})}
    return [str(members[name]) for name in ("code", "type", "status") if name in members]


def _is_transient(status: str) -> bool:
    number = int(status) if status.isdecimal() and len(status) == 3 else 0  # noqa: PLR2004 - a status
    return number in _TRANSIENT_STATUSES or number >= 500  # noqa: PLR2004 - 5xx


def _may_pass(error: Exception) -> bool:
    """Connections, timeouts, cut streams and answers that cannot be read may be fine next time."""
    if isinstance(error, ContentFilterError) or _is_redirect(error):
        return False
    return isinstance(error, ModelAPIError | UnexpectedModelBehavior | httpx2.HTTPError)


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
    if isinstance(error, ModelConnectionError | ModelRequestTimeout | httpx2.HTTPError):
        return str(error) or type(error).__name__
    if isinstance(error, ModelAPIError) and error.in_stream:
        return error.message
    if isinstance(error, UserError):
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

"""Whatever a model request raised, as an error of the invoker contract, without the API key."""

from collections.abc import Iterator, Sequence

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
from app.invokers.web.secret_texts import SecretMask
from app.invokers.web.statuses import may_pass, status_error
from app.kit.storable import clean_text

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
# The first that an error is one of.
_TEXTS: Sequence[tuple[tuple[type[Exception], ...], str]] = (
    ((ModelRequestTimeout, httpx2.TimeoutException), "no answer in time"),
    ((ModelConnectionError, httpx2.HTTPError), "the connection failed"),
    ((ContentFilterError,), "the answer was withheld by the provider's content filter"),
    ((UserError,), "its provider does not take what is asked for"),
)


def as_invoker_error(error: Exception, mask: SecretMask) -> InvokerError:
    """The error that the step sees.

    Args:
        error: what pydantic-ai, an SDK or the HTTP client raised.
        mask: takes out the secrets that the server was sent.
    """
    for cause in causes(error):
        if isinstance(cause, InvokerError):  # of our own HTTP client, wrapped by the SDK
            return cause
        if isinstance(cause, UpstreamError):
            return _from_body(cause.body, mask)
    if isinstance(error, ModelHTTPError):
        return _from_status(error, mask)
    text = _clean(_plain_text(error), mask)
    if _may_pass(error):
        return TransientInvokerError(f"the model did not answer: {text}", kind=_kind(error))
    return InvokerError(f"the model request failed: {text}")


def _from_status(error: ModelHTTPError, mask: SecretMask) -> InvokerError:
    text = f"the model answered {error.status_code}: {_clean(_upstream_text(error.body), mask)}"
    return status_error(text, error.status_code, error.headers or {})


def _from_body(body: object, mask: SecretMask) -> InvokerError:
    """An error that came with status 200: what it says decides whether it may pass."""
    text = f"the model answered with an error: {_clean(_upstream_text(body), mask)}"
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
    """What the server says in a stream; of all else, our own words and none of a library."""
    if _is_redirect(error):
        return "it redirects elsewhere, and redirects are not followed"
    for types, text in _TEXTS:
        if isinstance(error, types):
            return text
    if isinstance(error, ModelAPIError) and error.in_stream:
        return error.message
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


def _clean(text: str, mask: SecretMask) -> str:
    text = clean_text(mask.text(text))
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"

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

from app.invokers.invoker import InvokerError, TransientInvokerError

_MAX_TEXT = 500
# Request timeout, too early, too many requests; and all of 5xx.
_TRANSIENT_STATUSES = frozenset({408, 425, 429})


def as_invoker_error(error: Exception, api_key: str) -> InvokerError:
    """The error that the step sees.

    Args:
        error: what pydantic-ai, an SDK or the HTTP client raised.
        api_key: is taken out of the text, should the other side repeat it.
    """
    for cause in _causes(error):
        if isinstance(cause, InvokerError):  # of our own HTTP client, wrapped by the SDK
            return cause
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


def _may_pass(error: Exception) -> bool:
    """Connections, timeouts, cut streams and answers that cannot be read may be fine next time."""
    if isinstance(error, ContentFilterError) or _is_redirect(error):
        return False
    return isinstance(error, ModelAPIError | UnexpectedModelBehavior | httpx2.HTTPError)


def _is_redirect(error: Exception) -> bool:
    """Whether the SDK got a status under 400, which pydantic-ai gives no class of its own."""
    return any(isinstance(getattr(cause, "status_code", None), int) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
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
        case {"message": str(text)} | {"error": {"message": str(text)}} | {"error": str(text)}:
            return text
        case {"detail": str(text)}:
            return text
        case str(text):
            return text
        case _:
            return "no further explanation"


def _clean(text: str, api_key: str) -> str:
    if api_key:
        text = text.replace(api_key, "***")
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"

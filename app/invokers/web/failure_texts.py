"""What failed in a call, in our words: those of a library may quote what was sent."""

import ssl

import httpx2

from app.invokers.invoker import FailureKind
from app.invokers.web.http_client import failure_kind


def failure_text(error: httpx2.HTTPError) -> str:
    """Says what went wrong; nothing of the error's own text is in it."""
    match failure_kind(error):
        case FailureKind.TIMEOUT:
            return "no answer in time"
        case FailureKind.ANSWER:
            return "its answer cannot be read"
        case _ if _distrusts(error):
            return "its certificate cannot be trusted"
        case _ if isinstance(error, httpx2.ConnectError):
            return "there is no connection"
        case _:
            return "the connection broke off"


def _distrusts(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    return cause is not None

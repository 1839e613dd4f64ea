"""The errors that clients may see, each with its HTTP status and its stable code.

An error that only one part of the app raises stands beside that part's code, derived from one of
these. `app.api.http.problems` renders them all as RFC 9457 problem documents; nothing else does.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, NotRequired, TypedDict

from app.kit.invalid import InvalidValueError
from app.kit.storable import clean_text

# Where a fault is: keys and indexes from the outside in.
Loc = tuple[str | int, ...]


class FieldError(TypedDict):
    """One fault of a bad input: where it is (a path of keys and indexes) and what is wrong."""

    loc: list[str | int]
    msg: str
    type: NotRequired[str]


MAX_TEXT_CHARS = 10_000


class PublicError(Exception):
    """An error whose text is written for clients, by flows and invokers too: it holds no secret."""


class StatewrightError(PublicError):
    """Base of all errors that reach a client; `str(error)` is the problem's `detail`.

    Args:
        detail: one sentence for the person who sent the request. Never holds a secret.
        errors: for bad input, each fault with its place.
        extra: members added to the problem document, such as `possible_events`.
        retry_after: seconds after which the same request may succeed (the `Retry-After` header).
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self,
        detail: str,
        *,
        errors: list[FieldError] | None = None,
        extra: dict[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors or []
        self.extra = extra or {}
        self.retry_after = retry_after


class BadRequestError(StatewrightError):
    """The input is wrong; nothing was saved."""

    status = 400
    code = "bad-request"
    title = "Bad request"


class UnauthorizedError(StatewrightError):
    """No API key, or one that is unknown, expired or revoked."""

    status = 401
    code = "unauthorized"
    title = "Unauthorized"


class ForbiddenError(StatewrightError):
    """The caller is known, but the key's scopes or the resource's owner do not allow this."""

    status = 403
    code = "forbidden"
    title = "Forbidden"


class NotFoundError(StatewrightError):
    """A thing that is not there, or not the caller's: the two look the same."""

    status = 404
    code = "not-found"
    title = "Not found"


class VerbNotAllowedError(StatewrightError):
    """The kind is read-only."""

    status = 405
    code = "read-only"
    title = "Read-only kind"


class NotAcceptableError(StatewrightError):
    """The resource is there, but not as any media type that the client accepts."""

    status = 406
    code = "not-acceptable"
    title = "Not acceptable"


class RequestTimeoutError(StatewrightError):
    """The client did not send the whole request in time."""

    status = 408
    code = "request-timeout"
    title = "Request timeout"


class ConflictError(StatewrightError):
    """The request is fine, but the resource is not in a state that takes it."""

    status = 409
    code = "conflict"
    title = "Conflict"


class SessionBusyError(ConflictError):
    """Other requests hold the session for longer than the wait budget."""

    code = "session-busy"
    title = "Session busy"


class EventNotAcceptedError(ConflictError):
    """The session's state does not take the event; carries what it does take."""

    code = "event-not-accepted"
    title = "Event not accepted"


class EventRefusedError(ConflictError):
    """The flow's own code refused the event; hooks, guards and validators may raise it."""

    code = "event-refused"
    title = "Event refused"


class DefinitionMismatchError(ConflictError):
    """The stored session does not fit its flow's definition any more."""

    code = "definition-mismatch"
    title = "Definition mismatch"


class PayloadTooLargeError(StatewrightError):
    """The body is over the limit; it was not parsed."""

    status = 413
    code = "too-large"
    title = "Payload too large"


class UnsupportedMediaTypeError(StatewrightError):
    """The body comes in a form that is not taken, such as compressed."""

    status = 415
    code = "unsupported-media-type"
    title = "Unsupported media type"


class IdempotencyMismatchError(StatewrightError):
    """An idempotency key came again with another request."""

    status = 422
    code = "idempotency-mismatch"
    title = "Idempotency key reused"


class RequestInProgressError(ConflictError):
    """An idempotency key came again while the request with it is carried out; try again."""

    code = "request-in-progress"
    title = "Request in progress"


class AnswerNotKeptError(ConflictError):
    """A request with an idempotency key was carried out, and its answer is not there any more."""

    code = "answer-not-kept"
    title = "Answer not kept"


class VerbNotImplementedError(StatewrightError):
    """The kind does not have the verb."""

    status = 501
    code = "not-implemented"
    title = "Not implemented"


class UnavailableError(StatewrightError):
    """PostgreSQL, or another part that the request needs, does not work now; try again."""

    status = 503
    code = "unavailable"
    title = "Service unavailable"


class StoppingError(UnavailableError):
    """The process stops before what the request waits for has come; another one knows of it."""

    code = "stopping"
    title = "Server stopping"


class RendererLostError(UnavailableError):
    """A template was not rendered, and not by its own fault: the same one may be soon."""


class AnswerTimeoutError(StatewrightError):
    """The work goes on, but its answer did not come within the wait."""

    status = 504
    code = "timeout"
    title = "No answer in time"


class TurnFailedError(StatewrightError):
    """The session's turn ended with an error, so that there is no answer."""

    status = 502
    code = "turn-failed"
    title = "The turn failed"


class FlowPackageError(RuntimeError):
    """A package of flows cannot be served; its text has a line for each thing that is wrong.

    Args:
        package: its name.
        faults: what is wrong, each with its place.
    """

    def __init__(self, package: str, faults: list[str]) -> None:
        super().__init__("\n  - ".join([f"The flows in {package!r} cannot be served:", *faults]))
        self.faults = faults


@contextmanager
def faults_within(*loc: str | int, spelling: Callable[[str], str] | None = None) -> Iterator[None]:
    """Puts `loc` in front of the place of each fault that the block raises.

    Code deep inside knows only places in its own part of an input; its caller knows that part's.

    Args:
        loc: where in the whole input the part is.
        spelling: turns a key of the part into the one that the input has for it.
    """
    try:
        yield
    except StatewrightError as error:
        for fault in error.errors:
            place = fault["loc"]
            if spelling is not None:
                place = [spelling(key) if isinstance(key, str) else key for key in place]
            fault["loc"] = [*loc, *place]
        raise


def is_public(error: BaseException) -> bool:
    """Whether the class of an error was made for clients, so that they may read its text."""
    return isinstance(error, PublicError | InvalidValueError)


def public_text(error: BaseException) -> str:
    """The part of an error that a client may read. This is a security rule: nothing else decides.

    The text of an error may hold whatever the code that raised it had at hand: a password in a
    connection string, a row of another org, a path of this machine. So a text is public only where
    its class was made for clients; of every other error only the name of the class is.

    Returns:
        Text that can be stored, of bounded length: see `error_text`.
    """
    if not is_public(error):
        return error_text(type(error).__name__)
    return error_text(error.detail if isinstance(error, StatewrightError) else str(error))


def error_text(text: str) -> str:
    """The text of an error as it can be stored, and of bounded length."""
    return clean_text(text[:MAX_TEXT_CHARS], replacement="")


def error_line(error: BaseException) -> str:
    """The whole text of an error in one line, for who runs the service or wrote what is wrong.

    It may hold anything: what a client reads of an unknown error is for `public_text` to say.
    """
    return " ".join(str(error).split())

"""What an attempt comes to."""

from dataclasses import dataclass

from app.errors import is_public, public_text
from app.invokers.invoker import Answer
from app.sessions.steps.attempts.asks import NotAnsweredError
from app.sessions.store.asks import NewAsk
from app.sessions.store.budgets import BudgetExceededError
from app.wire.messages import ErrorCode


@dataclass(frozen=True, slots=True)
class Answered:
    """The invoker's answer."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class TryAgain:
    """The step is to be run again.

    Attributes:
        delay: seconds.
        error: why.
        failures: 1 if the attempt counts against the step's limit: infrastructure's do not.
        losses: 1 if it ended without an answer.
    """

    delay: float
    error: str
    failures: int
    losses: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """The step failed for good, and with it its invocation, which it may cancel instead."""

    error: str
    code: ErrorCode = ErrorCode.INVOCATION_FAILED
    cancels: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """The step waits without a worker; whoever ends that wakes it (`waking.wake`).

    Attributes:
        waits_for: id of the session or action that it waits for.
        seconds: after which it is run again all the same.
    """

    waits_for: str
    seconds: float


Outcome = Answered | TryAgain | Failed | Waiting | NewAsk


def failed(error: Exception) -> Failed:
    """The failure that an error makes of a step; wrong configuration says what is wrong."""
    text = public_text(error)
    if isinstance(error, NotAnsweredError):
        return Failed(text, error.code, cancels=error.cancels)
    code = ErrorCode.INVOCATION_FAILED
    if isinstance(error, BudgetExceededError):
        code = ErrorCode.BUDGET_EXCEEDED
    return Failed(text if is_public(error) else f"The step failed ({text}).", code)

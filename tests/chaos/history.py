"""What the clients did and were answered: the first of the three sources of truth."""

from dataclasses import dataclass, field
from enum import StrEnum

from tests.faults.load import BUSY_PROBLEM


class Fate(StrEnum):
    """What a client knows of something that it sent."""

    ACKED = "acked"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Try:
    """One HTTP request, and what came of it; times are seconds of the wall clock.

    Attributes:
        status: 0 if there was no answer.
        given_up: the client itself went away.
        waits: it asks how things are, and may be held.
        fault: what was wrong with the form of the answer.
    """

    api: int
    what: str
    began: float
    ended: float = 0.0
    status: int = 0
    given_up: bool = False
    waits: bool = False
    fault: str = ""

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass(slots=True)
class Sent:
    """Something that a client said in a session, sent until it was answered for good.

    Attributes:
        token: by which it is found in the database and at the upstream.
        answer: the last one, as text.
    """

    session_id: str
    flow: str
    token: str
    key: str
    is_ephemeral: bool
    fate: Fate = Fate.UNKNOWN
    answer: str = ""
    ended: float = 0.0


@dataclass(slots=True)
class History:
    """All that clients did; `complaints` are what they saw that must not be."""

    tries: list[Try] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    sessions: dict[str, str] = field(default_factory=dict)  # id: flow
    ephemeral: set[str] = field(default_factory=set)
    resumed: int = 0
    cancelled: int = 0
    complaints: list[str] = field(default_factory=list)


_REQUIRED = ("type", "title", "status", "detail")


def fault_of(status: int, content_type: str, body: object, retry_after: str | None) -> str:
    """What is wrong with the form of an answer; "" if nothing is.

    Args:
        status: of the answer.
        content_type: its header.
        body: its JSON, or None if it is none.
        retry_after: the header, if it is there.
    """
    if status < 400:
        return "" if isinstance(body, dict) else "a good answer without a JSON object"
    if status >= 500 and status != 503:
        return f"a {status}"
    if content_type != "application/problem+json" or not isinstance(body, dict):
        return f"a {status} that is no problem document"
    missing = [name for name in _REQUIRED if name not in body]
    if missing:
        return f"a problem document without {', '.join(missing)}"
    is_again = status == 503 or body["type"] == BUSY_PROBLEM
    if is_again and not (retry_after or "").isdigit():
        return f"a {status} ({body['type']}) without Retry-After"
    return ""

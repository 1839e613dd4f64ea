"""The cause of a transition: what a session was changed by."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from app.kit.ids import new_id


class CauseKind(StrEnum):
    """What a transition may be caused by."""

    EVENT = "event"  # of a client
    INVOCATION = "invocation"  # that ended
    TIMER = "timer"  # whose time has come
    EXPIRY = "expiry"  # of an action that nobody resolved in time
    STRANDED = "stranded"  # the session waited for no invocation, and the watchdog freed it

    @property
    def prefix(self) -> str:
        """What the stored text of such a cause begins with."""
        return f"{self.value}:"


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause is unique in its session, so that nothing is applied twice; stored as `<kind>:<id>`.

    `id` is that of the event, the invocation, the timer or the action, or the version at which the
    session stranded.
    """

    kind: CauseKind
    id: str

    @classmethod
    def new_event(cls) -> Self:
        """An event that a client sends now."""
        return cls(CauseKind.EVENT, new_id("evt"))

    @classmethod
    def invocation(cls, invocation_id: str) -> Self:
        """The end of an invocation."""
        return cls(CauseKind.INVOCATION, invocation_id)

    @classmethod
    def timer(cls, timer_id: str) -> Self:
        """A timer whose time has come."""
        return cls(CauseKind.TIMER, timer_id)

    @classmethod
    def expiry(cls, action_id: str) -> Self:
        """An action whose time is up."""
        return cls(CauseKind.EXPIRY, action_id)

    @classmethod
    def stranded(cls, version: int) -> Self:
        """A session that at this version waited for no invocation."""
        return cls(CauseKind.STRANDED, str(version))

    @classmethod
    def parse(cls, stored: str) -> Self:
        """The cause in the column `transition.cause`."""
        kind, _, id_ = stored.partition(":")
        return cls(CauseKind(kind), id_)

    @property
    def text(self) -> str:
        """The cause as the column `transition.cause` has it."""
        return f"{self.kind.prefix}{self.id}"

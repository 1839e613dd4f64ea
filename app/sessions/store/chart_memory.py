"""What a session's statechart keeps beside its state: timers that run, and where histories lead."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Self

from app.flows.timers import StartedTimer
from app.kit.ids import new_id


@dataclass(frozen=True, slots=True)
class PendingTimer:
    """An event that will be sent, as long as the session does not leave the state.

    Attributes:
        due: when, as PostgreSQL wrote it; None until it is stored.
        seconds: until then, from the moment it is stored.
    """

    id: str
    state: str
    event: str
    input: str = ""
    send_id: str | None = None
    due: str | None = None
    seconds: float | None = None

    @classmethod
    def of(cls, started: StartedTimer) -> Self:
        """A timer that starts now."""
        timer = started.timer
        return cls(
            new_id("tmr"),
            started.state,
            timer.event,
            timer.input,
            timer.send_id,
            seconds=timer.seconds,
        )

    @classmethod
    def from_stored(cls, stored: dict[str, Any]) -> Self:
        """A timer of the column; what a newer release adds to it is left out."""
        known = (field_.name for field_ in fields(cls))
        return cls(**{name: stored[name] for name in known if name in stored})

    def is_due(self, moment: datetime) -> bool:
        """Whether its time has come."""
        return self.due is not None and datetime.fromisoformat(self.due) <= moment


@dataclass(frozen=True, slots=True)
class ChartMemory:
    """Timers in the order they end; by history state, the ids of the states it leads back to."""

    timers: Sequence[PendingTimer] = ()
    history: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def from_column(cls, stored: dict[str, Any] | None) -> Self:
        """What the column `session.chart` holds."""
        given = stored or {}
        timers = [PendingTimer.from_stored(timer) for timer in given.get("timers", ())]
        return cls(timers, given.get("history", {}))

    def __bool__(self) -> bool:
        return bool(self.timers or self.history)

    def moved(
        self,
        left: Collection[str],
        started: Iterable[StartedTimer] = (),
        cancelled: Collection[str] = (),
    ) -> Self:
        """The memory after states were left and others entered."""
        kept = [
            timer
            for timer in self.timers
            if timer.state not in left and timer.send_id not in cancelled
        ]
        return replace(self, timers=[*kept, *map(PendingTimer.of, started)])

    def shown_timers(self) -> list[dict[str, Any]]:
        """The timers as clients see them."""
        return [{"event": t.event, "state": t.state, "due": t.due} for t in self.timers]

    def without(self, timer_id: str) -> Self:
        """The memory after a timer's event was sent, or given up."""
        return replace(self, timers=[timer for timer in self.timers if timer.id != timer_id])

    def document(self) -> dict[str, Any]:
        """The memory as the statements take it."""
        return {
            "timers": [asdict(timer) for timer in self.timers],
            "history": self.history or None,
        }

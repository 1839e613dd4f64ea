"""A fault that was done, and what faults of its kind explain."""

import time
from dataclasses import dataclass

from typing_extensions import override

# Those under which a worker cannot renew all its leases.
STOPS_RENEWAL = frozenset(
    {
        *("kill worker", "kill all", "stop worker", "pause worker", "lock table", "kill postgres"),
        *("stop postgres", "read-only", "full disk", "hang postgres", "cut", "slow machine"),
    }
)
# Those after which a worker finds that the time of its calls is up, whatever came meanwhile.
STOPS_WORKER = frozenset({"pause worker", "slow machine"})
OF_REDIS = frozenset({"pause redis", "hang redis", "kill redis", "full redis"})


@dataclass(slots=True)
class Fault:
    """One that was done; times are seconds of the wall clock, `ended` is 0 while it lasts.

    Attributes:
        kind: a key of `KINDS`.
        target: what it was done to: a process, a row, a table.
    """

    kind: str
    began: float
    target: str = ""
    ended: float = 0.0

    def touches(self, since: float, until: float) -> bool:
        """Whether it lasted at some moment between the two."""
        return self.began <= until and (self.ended == 0.0 or self.ended >= since)

    @override
    def __str__(self) -> str:
        seconds = (self.ended or time.time()) - self.began
        return f"{self.kind} {self.target} for {seconds:.1f} s"

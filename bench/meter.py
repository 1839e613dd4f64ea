"""What the service's processes used: CPU from /proc, transactions from PostgreSQL."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

_TICKS = os.sysconf("SC_CLK_TCK")
_FLUSH_SECONDS = 11  # after so long an idle backend has reported what it counted


@dataclass(frozen=True)
class Reading:
    """Totals at one moment: seconds of CPU by role, ids given to writing transactions."""

    cpu: Mapping[str, float]
    writes: int

    def since(self, before: "Reading", count: int) -> dict[str, float]:
        """CPU in ms by role, and writing transactions, for each of `count` things done since."""
        count = max(1, count)
        used = {
            f"cpu_{role}": round((seconds - before.cpu[role]) * 1000 / count, 2)
            for role, seconds in self.cpu.items()
        }
        total = round(sum(used.values()), 2)
        writes = round((self.writes - before.writes) / count, 2)
        return used | {"cpu_total": total, "writes": writes}


class Meter:
    """Reads processes, given by role, and a database.

    A process counts with its children, the living and the ended.
    """

    def __init__(self, pids: Mapping[str, Sequence[int]], db: asyncpg.Connection | None) -> None:
        self._pids = pids
        self._db = db

    async def read(self) -> Reading:
        """Totals now."""
        children = _children()
        cpu = {
            role: sum(_cpu_of_tree(pid, children) for pid in pids)
            for role, pids in self._pids.items()
        }
        return Reading(cpu, await self._count("pg_snapshot_xmax(pg_current_snapshot())::text"))

    async def transactions(self) -> int:
        """All transactions so far, those that only read too; waits until it is known."""
        await asyncio.sleep(_FLUSH_SECONDS)
        return await self._count(
            "xact_commit FROM pg_stat_database WHERE datname = current_database()"
        )

    async def _count(self, what: str) -> int:
        return int(await self._db.fetchval(f"SELECT {what}")) if self._db else 0


def _stat(pid: int | str) -> list[str]:
    """/proc/PID/stat from the state on; empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _children() -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        fields = _stat(entry.name) if entry.name.isdigit() else []
        if fields:
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    return children


def _cpu_of_tree(pid: int, children: Mapping[int, Sequence[int]]) -> float:
    fields = _stat(pid)
    own = sum(map(int, fields[11:15])) / _TICKS if fields else 0.0
    return own + sum(_cpu_of_tree(child, children) for child in children.get(pid, ()))

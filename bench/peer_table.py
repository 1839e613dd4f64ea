"""Two services beside each other: medians, ranges, and their ratio."""

import statistics
from collections.abc import Mapping
from typing import Any

_FAULTS = ("errors", "stuck", "wrong", "internal_event", "regress", "over", "zero_total")


def print_pairs(results: Mapping[str, Mapping[str, list[dict[str, Any]]]]) -> None:
    """One line for each load: rates per second (p50 in ms for idle), CPU in ms, faults."""
    print(f"{'':36}{'theirs':>22}{'ours':>22}{'ratio':>8}{'CPU ms, theirs, ours':>22}  faults")
    for name, pair in results.items():
        theirs, ours = pair["theirs"], pair["ours"]
        what = _measure_of(theirs[0])
        ratio = _median(ours, what) / (_median(theirs, what) or float("nan"))
        cpu = f"{_median(theirs, 'cpu_total'):.1f} {_median(ours, 'cpu_total'):.1f}"
        faults = f"{_faults(theirs)} / {_faults(ours)}"
        print(
            f"{name:36}{_spread(theirs, what):>22}{_spread(ours, what):>22}"
            f"{ratio:8.2f}{cpu:>22}  {faults}"
        )


def _measure_of(result: dict[str, Any]) -> str:
    return next(what for what in ("tps", "rps", "p50_ms") if what in result)


def _median(rows: list[dict[str, Any]], what: str) -> float:
    return statistics.median(row[what] for row in rows)


def _spread(rows: list[dict[str, Any]], what: str) -> str:
    values = [row[what] for row in rows]
    return f"{_median(rows, what):.1f} [{min(values):.0f} to {max(values):.0f}]"


def _faults(rows: list[dict[str, Any]]) -> str:
    counts = {what: sum(row.get(what, 0) for row in rows) for what in _FAULTS}
    return ", ".join(f"{what} {count}" for what, count in counts.items() if count) or "none"

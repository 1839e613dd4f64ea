"""Results as a table: medians over the rounds, the range of the rate in brackets."""

import statistics
from typing import Any

_COLUMNS = {
    "per_second": "per second",
    "p50_ms": "p50 ms",
    "p95_ms": "p95 ms",
    "requests_per_turn": "requests",
    "cpu_total": "CPU ms",
    "cpu_api": "API",
    "cpu_worker": "worker",
    "cpu_postgres": "postgres",
    "cpu_redis": "redis",
    "writes": "writes",
    "client_cpu": "client s",
}


def print_rows(results: dict[str, list[dict[str, Any]]]) -> None:
    """One line for each name; CPU and writes are for each thing done."""
    print(f"{'':20}{'range':>18}" + "".join(f"{title:>11}" for title in _COLUMNS.values()))
    for name, rows in results.items():
        rates = [row["per_second"] for row in rows]
        line = f"{name:20}{f'{min(rates):.0f} to {max(rates):.0f}':>18}"
        for column in _COLUMNS:
            values = [row[column] for row in rows if row.get(column) is not None]
            line += f"{statistics.median(values):11.2f}" if values else f"{'':11}"
        faults = sum(sum(row["faults"].values()) for row in rows)
        print(line + (f"  {faults} faults" if faults else ""))

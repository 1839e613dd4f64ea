"""Measure the service beside a bare floor: `python -m bench.run`.

Everything is measured in one run, in rounds that take turns, on a database of its own.
"""

import asyncio
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from bench.meter import Meter
from bench.stack import Stack, running_floor, running_stack
from bench.table import print_rows

Results = dict[str, list[dict[str, Any]]]


async def load(meter: Meter, *arguments: str) -> AsyncIterator[dict[str, Any]]:
    """Run `bench.load`; each of its results, with what the service used for each thing done."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.load", *arguments), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    before = await meter.read()
    async for line in process.stdout:
        if line.strip() == b"begin":
            before = await meter.read()
            continue
        result = orjson.loads(line)
        yield result | (await meter.read()).since(before, result["done"])
    if await process.wait():
        raise SystemExit(f"the load failed: {arguments}")


async def _measure(stack: Stack, floor: str, rounds: int, seconds: float) -> Results:
    ours = ("--base", stack.base, "--token", stack.token)
    length = ("--seconds", str(seconds))
    results: Results = defaultdict(list)

    async def keep(name: str, *arguments: str) -> None:
        async for result in load(stack.meter, *arguments):
            results[f"{name} {result.get('which', '')}".strip()].append(result)

    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        await keep("turns, 16 clients", "turns", *ours, *length)
        await keep("floor", "floor", "--base", floor, "--seconds", str(seconds / 2))
        await keep("turns, 64 clients", "turns", *ours, *length, "--clients", "64")
        await keep("agents", "agents", *ours, "--seconds", str(seconds / 2))
        await keep("turns, 1 client", "turns", *ours, *length, "--clients", "1")
    return results


async def _depth(stack: Stack, rounds: int) -> Results:
    print("turn 10 beside turn 1,000", file=sys.stderr)
    results: Results = defaultdict(list)
    arguments = (
        "depth",
        "--base",
        stack.base,
        "--token",
        stack.token,
        "--rounds",
        str(rounds),
        "--clients",
        "2",
    )
    async for result in load(stack.meter, *arguments, "--count", "25"):
        results[f"depth {result['which']}"].append(result)
    return results


async def _transactions(stack: Stack, seconds: float) -> float:
    """Transactions for each turn, with those that only read."""
    print("transactions", file=sys.stderr)
    before = await stack.meter.transactions()
    done = 0
    arguments = ("turns", "--base", stack.base, "--token", stack.token, "--seconds", str(seconds))
    async for result in load(stack.meter, *arguments):
        # The 16 threads were set up with a start and two turns each.
        done = result["done"] + 16 * 3
    return (await stack.meter.transactions() - before) / max(1, done)


def _median(results: Results, name: str, what: str) -> float:
    return statistics.median(result[what] for result in results[name])


def _ratios(results: Results) -> dict[str, float]:
    insert = _median(results, "floor insert", "per_second")
    select = _median(results, "floor select", "per_second")
    return {
        "turns at 16 clients, of floor inserts": _median(results, "turns, 16 clients", "per_second")
        / insert,
        "turns at 64 clients, of floor inserts": _median(results, "turns, 64 clients", "per_second")
        / insert,
        "agent creates, of floor inserts": _median(results, "agents create", "per_second") / insert,
        "agent gets, of floor selects": _median(results, "agents get", "per_second") / select,
        "latency of turn 1,000, of turn 10": _median(results, "depth long", "p50_ms")
        / _median(results, "depth young", "p50_ms"),
        "CPU of turn 1,000, of turn 10": _median(results, "depth long", "cpu_total")
        / _median(results, "depth young", "cpu_total"),
    }


async def _run(rounds: int, seconds: float, workers: int) -> tuple[Results, dict[str, float]]:
    async with running_stack(workers) as stack, running_floor(stack.database_url) as floor:
        results = await _measure(stack, floor, rounds, seconds)
        results |= await _depth(stack, rounds)
        summary = _ratios(results)
        summary["transactions for each turn"] = await _transactions(stack, seconds)
    return results, summary


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; medians are over them")] = 3,
    seconds: Annotated[float, typer.Option(min=1, help="Length of each load")] = 6,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes")] = 1,
    output: Annotated[Path, typer.Option(help="Every result, as JSON")] = Path("build/bench.json"),
) -> None:
    """Measure the service beside a bare floor, and print a table."""
    results, summary = asyncio.run(_run(rounds, seconds, workers))
    print_rows(results)
    for name, value in summary.items():
        print(f"{name:40} {value:8.2f}")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps({"results": results, "summary": summary}, indent=2))
    if any(result["faults"] for rows in results.values() for result in rows):
        raise SystemExit("there were faults")


if __name__ == "__main__":
    typer.run(main)

"""Measure a change: this checkout beside another, in rounds that take turns.

mkdir /tmp/before && git archive HEAD | tar -x -C /tmp/before
python -m bench.compare /tmp/before
"""

import asyncio
from collections import defaultdict
from pathlib import Path
from typing import Annotated

import typer

from bench.run import Results, load
from bench.stack import running_stack
from bench.table import print_rows


async def _run(other: Path, rounds: int, seconds: float, workers: int) -> Results:
    results: Results = defaultdict(list)
    async with running_stack(workers, other) as before, running_stack(workers) as now:
        for _ in range(rounds):
            for clients in ("16", "1"):
                for name, stack in (("before", before), ("now", now)):
                    target = ("--base", stack.base, "--token", stack.token)
                    size = ("--clients", clients, "--seconds", str(seconds))
                    async for result in load(stack.meter, "turns", *target, *size):
                        results[f"{clients} clients, {name}"].append(result)
    return results


def main(
    other: Annotated[Path, typer.Argument(help="Another checkout", file_okay=False, exists=True)],
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    seconds: Annotated[float, typer.Option(min=1)] = 5,
    workers: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Print turns of both checkouts."""
    print_rows(asyncio.run(_run(other, rounds, seconds, workers)))


if __name__ == "__main__":
    typer.run(main)

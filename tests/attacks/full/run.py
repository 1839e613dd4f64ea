"""The attacks at full size, on a running service: what they cost, and how others' turns fare.

    make attacks                                    # all; or those whose names have these words:
    make attacks ARGS="search maps"
    make attacks ARGS="--code ../before"            # on another checkout: do they bite?

Each attack gets a service of its own on an empty database. Exits with 1 if one costs more than it
may: CPU of the API and the worker, memory of either, or a turn of another org.
"""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from tests.attacks.full.attacks import ATTACKS, Attack
from tests.attacks.full.world import Answers, Cost, running_world

_HERE = Path(__file__).parents[3]


async def _run(attack: Attack, code: Path, seconds: float) -> tuple[Cost, Answers]:
    async with running_world(code) as world:
        requests = await attack.do(world)
        world.answers = Answers()
        async with world.measured() as costs:
            try:
                async with asyncio.timeout(seconds):
                    await requests
            except TimeoutError:
                world.answers.counts[f"not over after {seconds:.0f} s"] += 1
        return costs[0], world.answers


def _excesses(attack: Attack, cost: Cost) -> list[str]:
    """What cost more than it may."""
    figures = {
        "CPU (s)": (cost.api_cpu + cost.worker_cpu, attack.cpu),
        "memory (MB)": (max(cost.api_mb, cost.worker_mb), attack.mb),
        "another's turn (s)": (cost.slowest_turn, attack.turn),
        "turns of others that failed": (cost.failed_turns, 0),
        "duration (s)": (cost.seconds, attack.seconds),
    }
    return [f"{name} {is_:.1f} > {most:g}" for name, (is_, most) in figures.items() if is_ > most]


def main(
    words: Annotated[
        list[str] | None, typer.Argument(help="Words of their names; none: all")
    ] = None,
    code: Annotated[Path, typer.Option(help="The checkout that runs", file_okay=False)] = _HERE,
    seconds: Annotated[float, typer.Option(help="After which an attack is cut off")] = 240.0,
) -> None:
    """Attack a service, and print what that costs."""
    excesses = []
    for name, attack in ATTACKS.items():
        if words and not any(word in name for word in words):
            continue
        cost, answers = asyncio.run(_run(attack, code.absolute(), seconds))
        too_much = _excesses(attack, cost)
        excesses += [f"{name}: {one}" for one in too_much]
        sys.stdout.write(
            f"{'FAILED' if too_much else 'held  '} {name}: {cost.seconds:.1f} s, CPU API "
            f"{cost.api_cpu:.1f} s, worker {cost.worker_cpu:.1f} s, API +{cost.api_mb:.0f} MB, "
            f"worker +{cost.worker_mb:.0f} MB, slowest of {cost.turns} turns of another org "
            f"{cost.slowest_turn:.2f} s; {answers}\n"
        )
        sys.stdout.flush()
    sys.exit("\n".join(["more than it may cost:", *excesses]) if excesses else 0)


if __name__ == "__main__":
    typer.run(main)

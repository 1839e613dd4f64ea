"""Measure a map of 1,000 items on one worker and on two: `python -m bench.fanout`.

Each item waits 50 ms (the echo model pauses 12.5 ms before each of its last four words); a worker
runs 20 at once. One worker alone takes 2.5 s at the least.
"""

import asyncio
import json
import statistics
import time
from pathlib import Path
from typing import Annotated

import typer

from bench.stack import running_stack
from bench.wire import Connection

_FLOW = Path(__file__).parent / "flows" / "wide.yaml"
_PAUSE = {"STATEWRIGHT_LLM__ECHO_DELAY_SECONDS": "0.0125"}


async def _measure(workers: int, items: int, rounds: int) -> list[float]:
    """Seconds that a map takes, for each round."""
    async with running_stack(workers, environment=_PAUSE) as stack:
        connection = await Connection.open(stack.base, stack.token)
        status, answer = await connection.request(
            "POST", "/api/v1/cli/apply/", _FLOW.read_bytes(), "application/yaml"
        )
        if status not in (200, 201):
            raise SystemExit(f"apply: {status} {answer!r}")
        await _map(connection, 20)
        return [await _map(connection, items) for _ in range(rounds)]


async def _map(connection: Connection, items: int) -> float:
    seed = {"seed_data": {"items": list(range(items))}}
    session = await connection.call("POST", "/v1/ai/wide/start_session", seed)
    event = {"session_id": session["session_id"], "event": "user_input", "event_input": "go"}
    started = time.perf_counter()
    answer = await connection.call("POST", "/v1/ai/wide/event", event)
    poll = event | {"event": "poll"}
    while answer["next_actions"] == ["poll"]:
        # Held until something changed, so that asking takes nothing from what is measured.
        answer = await connection.call("POST", "/v1/ai/wide/event?wait=30", poll)
    seconds = time.perf_counter() - started
    wanted = [f"[echo model] You said: {item}" for item in range(items)]
    if json.loads(str(answer["response"])) != wanted:
        raise SystemExit(f"wrong answer: {answer}")
    return seconds


def main(
    items: Annotated[int, typer.Option(help="Items of the map.")] = 1000,
    rounds: Annotated[int, typer.Option(help="Maps for each number of workers.")] = 3,
) -> None:
    """Print the seconds of a map on one worker and on two, and their ratio."""
    medians = {}
    for workers in (1, 2, 1, 2):
        seconds = asyncio.run(_measure(workers, items, rounds))
        medians.setdefault(workers, []).append(statistics.median(seconds))
        print(f"{workers} worker(s): {', '.join(f'{s:.2f}' for s in seconds)} s")
    one, two = (statistics.median(medians[workers]) for workers in (1, 2))
    print(f"one {one:.2f} s, two {two:.2f} s: {one / two:.2f} times as fast")


if __name__ == "__main__":
    typer.run(main)

"""Measure the sessions API beside the PyPI engine: `python -m bench.peer --peer DIR`.

DIR holds the peer's `run` and `client.py`. The peer's own client loads both, turn by turn; it
checks every answer.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from app.settings import environment_with
from bench.meter import Meter
from bench.peer_table import print_pairs
from bench.stack import Stack, running_stack
from bench.wire import Connection

_PEER_URL = "http://127.0.0.1:8199"
_FLOWS = Path(__file__).parent / "flows"
_LOADS = (
    ("turns", "--key", "qa", "--c", "16"),
    ("turns", "--key", "chain", "--c", "16"),
    ("turns", "--key", "fan", "--c", "16"),
    ("turns", "--key", "qa", "--c", "64"),
    ("idle", "--key", "qa"),
    ("idle", "--key", "chain"),
    ("idle", "--key", "fan"),
    ("start", "--c", "16"),
    ("read", "--c", "16", "--what", "model"),
    ("read", "--c", "16", "--what", "task_state"),
)

Results = dict[str, dict[str, list[dict[str, Any]]]]


class Service:
    """One of the two: where it is, and its processes."""

    def __init__(self, base: str, token: str, meter: Meter) -> None:
        self._target = ("--base", base, "--token", token)
        self._meter = meter

    async def load(self, python: Path, client: Path, *arguments: str) -> dict[str, Any]:
        """Run the peer's client; its result, with CPU in ms for each turn or request."""
        before = await self._meter.read()
        process = await asyncio.create_subprocess_exec(
            *(str(python), str(client), *arguments, *self._target), stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        if process.returncode:
            raise SystemExit(f"the client failed: {arguments}")
        result: dict[str, Any] = json.loads(output)
        done = result.get("done") or result["n"]
        return result | (await self._meter.read()).since(before, done)


@contextmanager
def _running_peer(run: Path, home: Path) -> Iterator[int]:
    environment = environment_with({"PEER_HOME": str(home)})
    process = subprocess.Popen(
        [str(run)], env=environment, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert process.stdout
        if b"peer ready" not in process.stdout.readline():
            raise SystemExit(f"the peer did not start; see the logs in {home}")
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


async def _apply_flows(stack: Stack) -> None:
    connection = await Connection.open(stack.base, stack.token)
    for path in sorted(_FLOWS.glob("*.yaml")):
        status, answer = await connection.request(
            "POST", "/api/v1/cli/apply/", path.read_bytes(), "application/yaml"
        )
        if status not in {200, 201}:
            raise SystemExit(f"{path.name}: {status} {answer.decode()}")
    connection.close()


async def _run(peer: Path, home: Path, rounds: int, seconds: float, workers: int) -> Results:
    results: Results = defaultdict(lambda: defaultdict(list))
    python, client = home / "venv/bin/python", peer / "client.py"
    with _running_peer(peer / "run", home) as pid:
        async with running_stack(workers) as stack:
            await _apply_flows(stack)
            both = {
                "theirs": Service(_PEER_URL, "", Meter({"all": [pid]}, None)),
                "ours": Service(stack.base, stack.token, stack.meter),
            }
            for number in range(rounds):
                for load in _LOADS:
                    length = _length(load[0], seconds)
                    for name, service in both.items():
                        print(f"round {number + 1}: {name} {' '.join(load)}", file=sys.stderr)
                        result = await service.load(python, client, *load, *length)
                        results[" ".join(load)][name].append(result)
    return results


def _length(command: str, seconds: float) -> tuple[str, ...]:
    if command == "idle":
        return ("--turns", "50", "--poll-ms", "5")
    return ("--secs", str(seconds if command == "turns" else seconds / 2))


def main(
    *,
    peer: Annotated[Path, typer.Option(help="Folder of the peer", exists=True)],
    home: Annotated[Path, typer.Option(help="Where its venv is made once")] = Path("/tmp/peer"),
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; medians are over them")] = 3,
    seconds: Annotated[float, typer.Option(min=1, help="Length of each load")] = 10,
    workers: Annotated[int, typer.Option(min=1, help="Our worker processes")] = 2,
    output: Annotated[Path, typer.Option(help="Every result, as JSON")] = Path("build/peer.json"),
) -> None:
    """Measure both services in turns, and print the ratios."""
    results = asyncio.run(_run(peer.resolve(), home, rounds, seconds, workers))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(results, indent=2))
    print_pairs(results)


if __name__ == "__main__":
    typer.run(main)

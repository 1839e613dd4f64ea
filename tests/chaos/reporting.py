"""What a run shows while it lasts, what it leaves behind, and which faults it is asked for."""

import argparse
import asyncio
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tests.chaos.faults import KINDS
from tests.chaos.history import History
from tests.chaos.schedule import Schedule

_PROGRESS_SECONDS = 10.0


def say(text: str) -> None:
    """Shows a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def show_progress(schedule: Schedule, history: History, figures: Callable[[], str]) -> None:
    """Shows every ten seconds what there is by then."""
    began = time.time()
    while True:
        await asyncio.sleep(_PROGRESS_SECONDS)
        lasting = [str(fault) for fault in schedule.faults if not fault.ended]
        say(
            f"{time.time() - began:4.0f} s: {figures()}, {len(history.complaints)} complaints; "
            f"{', '.join(lasting) or 'no fault'}"
        )


def conclude(
    directory: Path, seed: int, report: str, violations: Sequence[str], evidence: Iterable[object]
) -> bool:
    """Shows the report; keeps it, the evidence and the logs where anything was violated."""
    say(report)
    if not violations:
        shutil.rmtree(directory, ignore_errors=True)
        return True
    (directory / "report.txt").write_text("\n".join([report, *violations]))
    (directory / "evidence.txt").write_text("\n".join(map(str, evidence)))
    say(f"  seed {seed}; the logs are in {directory}")
    return False


def add_faults(parser: argparse.ArgumentParser, default: Iterable[str]) -> None:
    """Lets a run be asked for kinds of faults."""
    parser.add_argument(
        "--faults",
        type=_kinds,
        default=list(default),
        help=f"kinds of faults, with commas between them; known: {', '.join(KINDS)}",
    )


def _kinds(text: str) -> list[str]:
    kinds = [kind.strip() for kind in text.split(",") if kind.strip()]
    if unknown := set(kinds) - set(KINDS):
        raise argparse.ArgumentTypeError(f"unknown faults: {', '.join(sorted(unknown))}")
    return kinds

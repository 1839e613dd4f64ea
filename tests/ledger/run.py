"""The ledger run: turns that call tools, under faults, and then: was each write made once?

    make ledger                                 # 1,000 turns; or, for fewer of another seed:
    make ledger TURNS=200 SEED=7

A model and the tools write down every request that reaches them. Afterwards each approved write is
in that ledger once, or a person was asked what became of it; each denied one is not; each answer of
the model is counted as the model counted it; no history that it was sent has a call without its
result; and no turn is stuck. Exits with 1 if anything of that is not so, and keeps the logs.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from app.kit.concurrency.tasks import end_tasks
from tests.chaos import audit
from tests.chaos.audit import Audit
from tests.chaos.client import ChaosClient
from tests.chaos.client_checks import check_clients
from tests.chaos.deployment import Deployment, running_deployment
from tests.chaos.fault import Fault
from tests.chaos.history import History
from tests.chaos.reporting import add_faults, conclude, show_progress
from tests.chaos.schedule import Schedule, note_slow_machine
from tests.chaos.state_checks import check_logs, check_rest
from tests.chaos.step_checks import check_steps
from tests.ledger.checks import Kept, check_ledger
from tests.ledger.driver import Book, Driver
from tests.ledger.upstream import World, running_world

_TURNS = 1_000
_CLIENTS = 12
_CLOSING_SECONDS = 60.0  # for turns to end, once all is healed
_PAUSE = (3.0, 10.0)  # between two faults: turns are to come to something
_SHOWN = 25
# kill -9 of everything, SIGSTOP past the lease, FLUSHALL, PostgreSQL restarts.
_FAULTS = (
    *("kill worker", "kill api", "kill all", "pause worker", "pause api", "stop worker"),
    *("flush redis", "kill redis", "kill postgres", "stop postgres", "cut"),
)


@dataclass(frozen=True)
class Plan:
    """What is to be run."""

    seed: int
    turns: int
    kinds: list[str]
    clients: int = _CLIENTS


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    plan: Plan
    seconds: float
    faults: list[Fault]
    history: History
    book: Book
    world: World
    audit: Audit
    kept: Kept
    violations: list[str]

    def report(self) -> str:
        """Figures, and what was violated."""
        attempts = sum(change.is_claim for change in self.audit.steps)
        taken_over = sum(change.is_takeover for change in self.audit.steps)
        turns = self.book.turns
        cut, failed = sum(t.is_cut for t in turns), sum(t.has_failed for t in turns)
        actions = _counted(f"{row['kind']} {row['status']}" for row in self.kept.actions)
        lines = [
            f"seed {self.plan.seed}, {len(turns)} turns in {self.seconds:.0f} s",
            f"  faults       {len(self.faults)}: {_counted(f.kind for f in self.faults)}",
            f"  turns        {self.book.over} ended; {cut} cancelled or talked over, "
            f"{failed} failed, {self.history.resumed} retries",
            f"  actions      {len(self.kept.actions)}: {actions}",
            f"  steps        {len({c.step_id for c in self.audit.steps})}, {attempts} attempts, "
            f"{taken_over} taken over",
            f"  tools        {len(self.world.tool_calls)} requests: "
            f"{_counted(call.what for call in self.world.tool_calls)}",
            f"  model        {len(self.world.model_calls)} requests, "
            f"{len(self.kept.usage)} counted",
            f"  violations   {len(self.violations)}",
        ]
        shown = [f"    {violation}" for violation in self.violations[:_SHOWN]]
        if len(self.violations) > _SHOWN:
            shown.append(f"    … and {len(self.violations) - _SHOWN} more")
        return "\n".join([*lines, *shown])


def _counted(names: object) -> str:
    counts: Counter[str] = Counter(names)  # type: ignore[call-overload]
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


async def run(plan: Plan, directory: Path) -> Outcome:
    """One run, from an empty database to the verdict."""
    began = time.time()
    async with (
        running_world(plan.seed) as world,
        running_deployment(directory, world.upstream, plan.seed) as deployment,
    ):
        await deployment.apply(world.manifests())
        history, book = History(), Book.of(plan.seed, plan.turns)
        schedule = Schedule(deployment, plan.seed, plan.kinds, _PAUSE)

        def figures() -> str:
            turns, calls = len(book.turns), len(world.tool_calls)
            return f"{book.over} of {turns} turns, {len(book.decisions)} decisions, {calls} calls"

        watching = [
            asyncio.create_task(note_slow_machine(schedule.faults)),
            asyncio.create_task(show_progress(schedule, history, figures)),
        ]
        try:
            await _drive(plan, deployment, schedule, history, book)
        finally:
            await end_tasks(*watching)
        seconds = time.time() - began
        stuck = await check_rest(deployment, schedule.faults)
        changes, kept = await audit.read(deployment), await Kept.read(deployment, book)
        http = list(world.upstream.ledger)
        violations = [
            *stuck,
            *deployment.complaints,
            *check_clients(history, changes, http, schedule.faults),
            *check_steps(changes.steps, http, schedule.faults),
            *check_logs(deployment),
            *check_ledger(book, world, kept, changes.steps),
        ]
        return Outcome(
            plan, seconds, schedule.faults, history, book, world, changes, kept, violations
        )


async def _drive(
    plan: Plan, deployment: Deployment, schedule: Schedule, history: History, book: Book
) -> None:
    """Clients have their turns while faults happen; then all is healed, and the last ones end."""
    headers = {"Authorization": f"Bearer {deployment.api_key}"}
    async with httpx.AsyncClient(headers=headers, trust_env=False) as http:
        clients = [
            ChaosClient(http, deployment.base_urls, history, f"client {plan.seed} {number}")
            for number in range(plan.clients)
        ]
        driving = [
            asyncio.create_task(Driver(client, f"{plan.seed} {n}", book).drive())
            for n, client in enumerate(clients)
        ]
        faults = asyncio.create_task(schedule.run(lambda: book.is_planned))
        try:
            await asyncio.wait({faults, *driving}, return_when=asyncio.FIRST_EXCEPTION)
            await asyncio.wait(driving, timeout=_CLOSING_SECONDS)
        finally:
            for client in clients:
                client.is_closing.set()
            await end_tasks(faults, *driving)
        for task in [faults, *driving]:
            if not task.cancelled():
                task.result()


def _run_seed(plan: Plan) -> bool:
    """Runs a seed and reports; whether nothing was violated."""
    directory = Path(tempfile.mkdtemp(prefix=f"statewright-ledger-{plan.seed}-"))
    outcome = asyncio.run(run(plan, directory))
    evidence = [
        *(f"{fault.began:.2f} {fault}" for fault in outcome.faults),
        *outcome.audit.steps,
        *outcome.audit.transitions,
        *outcome.audit.messages,
        *outcome.world.tool_calls,
        *outcome.world.model_calls,
        *outcome.book.turns,
        *outcome.book.decisions,
        *map(dict, [*outcome.kept.actions, *outcome.kept.usage]),
    ]
    return conclude(directory, plan.seed, outcome.report(), outcome.violations, evidence)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and report; 1 if anything was violated."""
    parser = argparse.ArgumentParser(
        prog="make ledger",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--turns", type=int, default=_TURNS, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="of turns, faults and odd answers")
    parser.add_argument("--clients", type=int, default=_CLIENTS, help="who have them at once")
    add_faults(parser, _FAULTS)
    chosen = parser.parse_args(arguments)
    logging.disable()  # of the upstream, whose connections are cut
    plan = Plan(chosen.seed, chosen.turns, chosen.faults, chosen.clients)
    return 0 if _run_seed(plan) else 1


if __name__ == "__main__":
    sys.exit(main())

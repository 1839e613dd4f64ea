"""The chaos run: random sessions under random faults, and then: was anything lost, twice, stuck?

    make chaos SEED=1 SECONDS=60

Exits with 1 if anything was, and keeps the directory with the logs. A seed gives the same plan of
sessions, faults and odd answers; the processes keep their own time, so that no two runs are alike.
"""

import argparse
import asyncio
import logging
import random
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
from tests.chaos.deployment import Deployment, flows_of, running_deployment
from tests.chaos.fault import Fault
from tests.chaos.faults import KINDS
from tests.chaos.history import History
from tests.chaos.load import Talker
from tests.chaos.reporting import add_faults, conclude, show_progress
from tests.chaos.schedule import Schedule, note_slow_machine
from tests.chaos.state_checks import check_logs, check_rest
from tests.chaos.step_checks import check_steps
from tests.chaos.upstream import Call, Upstream

_CLIENTS = 8
_PROGRESS_SECONDS = 5.0
_CLOSING_SECONDS = 25.0  # for clients to get the answers that are due, once all is healed
_SHOWN = 25


@dataclass(frozen=True)
class Plan:
    """What is to be run."""

    seed: int
    seconds: float
    kinds: list[str]
    clients: int = _CLIENTS


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    plan: Plan
    faults: list[Fault]
    history: History
    ledger: list[Call]
    audit: Audit
    violations: list[str]

    def report(self) -> str:
        """Figures, and what was violated."""
        statuses = Counter(one.status for one in self.history.tries)
        steps = {change.step_id for change in self.audit.steps}
        attempts = sum(change.is_claim for change in self.audit.steps)
        taken_over = sum(change.is_takeover for change in self.audit.steps)
        lines = [
            f"seed {self.plan.seed}, {self.plan.seconds:g} s",
            f"  faults       {len(self.faults)}: {_counted(f.kind for f in self.faults)}",
            f"  sessions     {len(self.history.sessions)}: "
            f"{_counted(self.history.sessions.values())}; "
            f"{len(self.history.ephemeral)} of them ephemeral",
            f"  events       {len(self.audit.events)}: "
            f"{_counted(s.fate for s in self.history.sent)}; "
            f"{self.history.resumed} retries, {self.history.cancelled} cancels",
            f"  transitions  {len(self.audit.transitions)}",
            f"  steps        {len(steps)}, {attempts} attempts, {taken_over} taken over",
            f"  upstream     {len(self.ledger)} calls: {_counted(c.outcome for c in self.ledger)}",
            f"  requests     {len(self.history.tries)}: {_counted(map(str, statuses.elements()))}",
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
    async with (
        Upstream(plan.seed) as upstream,
        running_deployment(directory, upstream, plan.seed) as deployment,
    ):
        await deployment.apply(flows_of(upstream))
        history = History()
        schedule = Schedule(deployment, plan.seed, plan.kinds)

        def figures() -> str:
            events, calls = len(history.sent), len(upstream.ledger)
            return f"{len(schedule.faults)} faults, {events} events, {calls} calls"

        watching = [
            asyncio.create_task(note_slow_machine(schedule.faults)),
            asyncio.create_task(show_progress(schedule, history, figures)),
        ]
        try:
            await _talk(plan, deployment, schedule, history)
        finally:
            await end_tasks(*watching)
        stuck = await check_rest(deployment, schedule.faults)
        kept = await audit.read(deployment)
        violations = [
            *stuck,
            *deployment.complaints,
            *check_clients(history, kept, upstream.ledger, schedule.faults),
            *check_steps(kept.steps, upstream.ledger, schedule.faults),
            *check_logs(deployment),
        ]
        return Outcome(plan, schedule.faults, history, upstream.ledger, kept, violations)


async def _talk(plan: Plan, deployment: Deployment, schedule: Schedule, history: History) -> None:
    """Clients talk while faults happen; all is healed, and they get what answers are due."""
    headers = {"Authorization": f"Bearer {deployment.api_key}"}
    async with httpx.AsyncClient(headers=headers, trust_env=False) as http:
        clients = [
            ChaosClient(http, deployment.base_urls, history, f"client {plan.seed} {number}")
            for number in range(plan.clients)
        ]
        talking = [
            asyncio.create_task(Talker(client, random.Random(f"{plan.seed} {number}")).talk())
            for number, client in enumerate(clients)
        ]
        deadline = time.time() + plan.seconds
        faults = asyncio.create_task(schedule.run(lambda: time.time() >= deadline))
        try:
            await asyncio.wait({faults, *talking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end_tasks(faults)
            for client in clients:
                client.is_closing.set()
            _, late = await asyncio.wait(talking, timeout=_CLOSING_SECONDS)
            await end_tasks(*late)
        for task in [faults, *talking]:
            if not task.cancelled():
                task.result()


def _run_seed(plan: Plan) -> bool:
    """Run one seed and report; whether nothing was violated."""
    directory = Path(tempfile.mkdtemp(prefix=f"statewright-chaos-{plan.seed}-"))
    outcome = asyncio.run(run(plan, directory))
    evidence = [
        *(f"{fault.began:.2f} {fault}" for fault in outcome.faults),
        *outcome.audit.steps,
        *outcome.audit.transitions,
        *outcome.audit.messages,
        *outcome.ledger,
        *outcome.history.sent,
    ]
    return conclude(directory, plan.seed, outcome.report(), outcome.violations, evidence)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run each seed; 1 if anything was violated."""
    parser = argparse.ArgumentParser(
        prog="make chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, nargs="+", default=[1], help="one run for each")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long faults happen")
    parser.add_argument("--clients", type=int, default=_CLIENTS, help="who talk at once")
    add_faults(parser, KINDS)
    chosen = parser.parse_args(arguments)
    logging.disable()  # of the upstream, whose connections are cut
    plans = [Plan(seed, chosen.seconds, chosen.faults, chosen.clients) for seed in chosen.seed]
    results = [_run_seed(plan) for plan in plans]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())

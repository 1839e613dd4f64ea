"""Shows that the fault tests have teeth: switches a safeguard off in a copy, and they must fail.

    make faults-teeth                                    # or, for some of them:
    .venv/bin/python tests/faults/mutate.py fence sweeper

The product has no switch for this: each mutation is a change of the copy's text, in which the tests
are then run. Exits with 1 if a test that should fail passed.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

_ROOT = Path(__file__).parents[2]
_COPIED = ("app", "migrations", "tests", "pyproject.toml", "alembic.ini")
_SQL = "app/sessions/store/sql/change_sql.py"
_STEP_SQL = "app/sessions/store/sql/step_sql.py"
_RENEW_WAITS = "WHERE t.status = 'running' FOR UPDATE OF t"


@dataclass(frozen=True)
class Mutation:
    """What is replaced in which file, and the tests, of a folder or file, that must fail then."""

    changes: tuple[tuple[str, str, str], ...]
    must_fail: tuple[str, ...]
    where: str = "tests/faults"


MUTATIONS = {
    # Neither the session's version nor the step's attempt is asked for when a result is written.
    "fence": Mutation(
        (
            (_SQL, "AND s.version = i.version", ""),
            (_SQL, "AND t.status = 'running' AND t.attempt = i.attempt", ""),
            (_STEP_SQL, "t.status = 'running' AND t.attempt = i.attempt", "true"),
            (_STEP_SQL, "AND h.attempt = t.attempt", ""),
        ),
        ("test_a_late_result_is_discarded",),
    ),
    "sweeper": Mutation(
        (("app/sessions/steps/sweep/sweeper.py", "    if steps:", "    if not steps:"),),
        (
            "test_a_step_of_a_killed_worker_is_done_by_another",
            "test_an_api_killed_before_it_enqueues",
            "test_a_lost_job_is_published_again",
            "test_a_late_result_is_discarded",
        ),
    ),
    "idempotency": Mutation(
        (
            (
                "app/sessions/turn/admission.py",
                "caller.org_id, session_id, idempotency_key",
                "caller.org_id, session_id, None",
            ),
            (
                "app/sessions/turn/admission.py",
                "idempotency_key=self.idempotency_key,",
                "idempotency_key=None,",
            ),
        ),
        (
            "test_twenty_messages_with_one_key[redis]",
            "test_twenty_messages_with_one_key[no redis]",
        ),
    ),
    # An outcome that the database does not take at once is given up.
    "kept outcomes": Mutation(
        (
            (
                "app/sessions/steps/runner.py",
                "                if not is_infrastructure(error):\n                    raise",
                "                if is_infrastructure(error) or error:\n                    raise",
            ),
        ),
        ("test_a_result_outlives_a_lock_on_its_session",),
    ),
    # A renewal waits for rows that others have locked.
    "skipped locks": Mutation(
        ((_STEP_SQL, "WHERE t.status = 'running' FOR UPDATE OF t SKIP LOCKED", _RENEW_WAITS),),
        ("test_a_locked_step_does_not_cost_others_their_leases",),
    ),
    # Nobody waits for a locked row: whoever looks first has it when it is free.
    "locked leases": Mutation(
        (("app/sessions/steps/leases.py", "        if locked and", "        if not locked and"),),
        ("test_a_locked_step_does_not_cost_others_their_leases",),
    ),
    # Who looks whether a locked row is free has it before the owner who waits for it wakes up.
    "owner waits": Mutation(
        (
            (
                _STEP_SQL,
                "AND pg_try_advisory_xact_lock(hashtextextended(t.id, 0)))",
                "AND hashtextextended(t.id, 0) IS NOT NULL)",
            ),
        ),
        ("test_a_locked_step_does_not_cost_others_their_leases",),
    ),
    # The result of a tool's call counts whichever attempt it is of.
    "fence on tool steps": Mutation(
        (
            (_STEP_SQL, "t.status = 'running' AND t.attempt = i.attempt", "true"),
            (_STEP_SQL, "AND h.attempt = t.attempt", ""),
        ),
        ("test_a_late_result_of_a_tool_is_discarded",),
    ),
    # What people are asked is forgotten with the processes.
    "approvals kept in memory": Mutation(
        (
            (
                "app/sessions/runtime.py",
                "            store = SessionStore(database.pool)\n",
                "            await database.pool.execute(_FORGET)\n"
                "            store = SessionStore(database.pool)\n",
            ),
            (
                "app/sessions/runtime.py",
                "\n\n@dataclass",
                "\n_FORGET = \"DELETE FROM action WHERE status = 'open'\"\n\n\n@dataclass",
            ),
        ),
        ("test_an_approval_outlives_every_process_and_an_emptied_redis",),
    ),
    # A call that may have written is made again when its worker is gone.
    "unknown outcomes resent": Mutation(
        (
            (
                "app/sessions/steps/attempts/tool_calls.py",
                "if claim.losses and not tool.repeatable:",
                "if claim.losses < 0:",
            ),
        ),
        (
            "test_a_write_whose_worker_is_lost_is_sent_once_and_a_read_again[killed]",
            "test_a_write_whose_worker_is_lost_is_sent_once_and_a_read_again[told to end]",
            "test_a_write_whose_worker_is_lost_is_sent_once_and_a_read_again[stopped]",
        ),
    ),
    # A worker that ends forgets that it was in the middle of a call.
    "drained writes": Mutation(
        (("app/sessions/steps/runner.py", "losses=int(lost)", "losses=0"),),
        ("test_a_write_whose_worker_is_lost_is_sent_once_and_a_read_again[told to end]",),
    ),
    # What is written again since the first answer was lost is added to what is there.
    "usage counted twice": Mutation(
        (
            (
                "app/sessions/store/sql/usage_sql.py",
                "ON CONFLICT (step_id, attempt) DO NOTHING",
                "ON CONFLICT (step_id, attempt) DO UPDATE SET "
                "input_tokens = model_usage.input_tokens + excluded.input_tokens",
            ),
        ),
        ("test_what_was_written_without_an_answer_is_written_again_and_counted_once",),
        "tests/sessions/test_usage.py",
    ),
    # An answer to a flow is taken whether or not there was one before.
    "two answers": Mutation(
        (
            (
                "app/sessions/store/sql/ask_sql.py",
                "a.status = 'open' AND t.waits_for = a.id\n    AND t.status = 'waiting'\n  FOR",
                "t.waits_for = a.id\n  FOR",
            ),
        ),
        ("test_of_twenty_answers_at_once_one_wins",),
        "tests/sessions/test_asks.py",
    ),
    # What a step asks outlives the invocation that ended while it was opened.
    "asks left open": Mutation(
        (
            (
                "app/sessions/turn/ending.py",
                "await runtime.asks.withdraw(before.id)",
                "pass",
            ),
        ),
        ("test_an_ask_that_opens_as_its_invocation_is_ended_is_withdrawn",),
        "tests/sessions/test_asks.py",
    ),
    # A worker that takes timers takes them for good.
    "timers without a lease": Mutation(
        (
            (
                _SQL,
                "SET timer_due = clock_timestamp() + $1 * interval '1 second'",
                "SET timer_due = CASE WHEN $1::float8 < 0 THEN clock_timestamp() END",
            ),
        ),
        ("test_each_timer_sends_its_event_once_whoever_is_killed",),
    ),
    # A timer stays when its event was sent.
    "timers sent again": Mutation(
        (
            (
                "app/sessions/steps/sweep/timers.py",
                "    change.chart = change.chart.without(timer.id)\n",
                "",
            ),
        ),
        ("test_each_timer_sends_its_event_once_whoever_is_killed",),
    ),
    # Each command waits for a server that did not answer the one before.
    "breaker": Mutation(
        (
            (
                "app/kit/redis.py",
                'raise RedisConnectionError("Redis did not work a moment ago.")',
                "pass",
            ),
        ),
        ("test_an_event_under_a_hung_redis_is_taken_in_a_second_and_answered",),
    ),
}


def mutate(mutation: Mutation, directory: Path) -> None:
    """Put a copy of the project into the directory, and change it."""
    for name in _COPIED:
        source = _ROOT / name
        if source.is_dir():
            shutil.copytree(source, directory / name)
        else:
            shutil.copy(source, directory)
    for name, old, new in mutation.changes:
        path = directory / name
        text = path.read_text()
        if old not in text:
            raise SystemExit(f"{name} has changed: it does not contain {old!r}")
        path.write_text(text.replace(old, new))


def run_in(directory: Path, *arguments: str) -> str:
    """What Python prints when it is run with the arguments in a copy."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        # What a developer's shell would pass on, and the copy in front of what is installed.
        env={**os.environ, "PYTHONPATH": str(directory)},  # noqa: TID251
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    ).stdout


def run(mutation: Mutation, directory: Path) -> dict[str, str]:
    """Run the tests in a mutated copy; how each ended: passed, or the first line of its failure."""
    mutate(mutation, directory)
    names = {name.partition("[")[0] for name in mutation.must_fail}
    report = directory / "report.xml"
    run_in(
        directory,
        *("-m", "pytest", "-q", "-n", "2", mutation.where),
        *("-k", " or ".join(names), f"--junitxml={report}"),
    )
    return {
        case.attrib["name"]: _end_of(case)
        for case in ElementTree.parse(report).iter("testcase")  # noqa: S314 - pytest wrote it
    }


def _end_of(case: ElementTree.Element) -> str:
    for kind in ("failure", "error"):
        found = case.find(kind)
        if found is not None:
            lines = [line for line in (found.text or "").splitlines() if "AssertionError:" in line]
            return (lines or [found.attrib.get("message", kind)])[-1].strip(" |E")[:300]
    return "passed"


def main(chosen: list[str]) -> int:
    """Run the chosen mutations, or all."""
    toothless = 0
    for name in chosen or MUTATIONS:
        mutation = MUTATIONS[name]
        with tempfile.TemporaryDirectory(prefix="statewright-mutated-") as directory:
            Path(directory).chmod(0o755)
            ends = run(mutation, Path(directory))
        for test in mutation.must_fail:
            end = ends.get(test, "was not run")
            failed = end not in ("passed", "was not run")
            toothless += not failed
            sys.stdout.write(f"{name}: {test} {'fails' if failed else 'DOES NOT FAIL'}: {end}\n")
    return 1 if toothless else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

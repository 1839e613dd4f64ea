"""Shows that the fault tests have teeth: switches a safeguard off in a copy, and they must fail.

    make faults-teeth                                    # or, for some of them:
    .venv/bin/python -m tests.faults.mutate fence sweeper

Exits with 1 if a test that should fail passed.
"""

import sys
from functools import partial

from tests.support.mutation import Mutation, main

_SQL = "app/sessions/store/sql/change_sql.py"
_STEP_SQL = "app/sessions/store/sql/step_sql.py"
_RENEW_WAITS = "WHERE t.status = 'running' FOR UPDATE OF t"
_of = partial(Mutation, where="tests/faults")

MUTATIONS = {
    # Neither the session's version nor the step's attempt is asked for when a result is written.
    "fence": _of(
        (
            (_SQL, "AND s.version = i.version", ""),
            (_SQL, "AND t.status = 'running' AND t.attempt = i.attempt", ""),
            (_STEP_SQL, "t.status = 'running' AND t.attempt = i.attempt", "true"),
            (_STEP_SQL, "AND h.attempt = t.attempt", ""),
        ),
        ("test_a_late_result_is_discarded",),
    ),
    "sweeper": _of(
        (("app/sessions/steps/sweep/sweeper.py", "    if steps:", "    if not steps:"),),
        (
            "test_a_step_of_a_killed_worker_is_done_by_another",
            "test_an_api_killed_before_it_enqueues",
            "test_a_lost_job_is_published_again",
            "test_a_late_result_is_discarded",
        ),
    ),
    "idempotency": _of(
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
    "kept outcomes": _of(
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
    "skipped locks": _of(
        ((_STEP_SQL, "WHERE t.status = 'running' FOR UPDATE OF t SKIP LOCKED", _RENEW_WAITS),),
        ("test_a_locked_step_does_not_cost_others_their_leases",),
    ),
    # Nobody waits for a locked row: whoever looks first has it when it is free.
    "locked leases": _of(
        (("app/sessions/steps/leases.py", "        if locked and", "        if not locked and"),),
        ("test_a_locked_step_does_not_cost_others_their_leases",),
    ),
    # Who looks whether a locked row is free has it before the owner who waits for it wakes up.
    "owner waits": _of(
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
    "fence on tool steps": _of(
        (
            (_STEP_SQL, "t.status = 'running' AND t.attempt = i.attempt", "true"),
            (_STEP_SQL, "AND h.attempt = t.attempt", ""),
        ),
        ("test_a_late_result_of_a_tool_is_discarded",),
    ),
    # What people are asked is forgotten with the processes.
    "approvals kept in memory": _of(
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
    "unknown outcomes resent": _of(
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
    "drained writes": _of(
        (("app/sessions/steps/runner.py", "losses=int(lost)", "losses=0"),),
        ("test_a_write_whose_worker_is_lost_is_sent_once_and_a_read_again[told to end]",),
    ),
    # What is written again since the first answer was lost is added to what is there.
    "usage counted twice": _of(
        (
            (
                "app/sessions/store/sql/usage_sql.py",
                "ON CONFLICT (step_id, attempt) DO NOTHING",
                "ON CONFLICT (step_id, attempt) DO UPDATE SET "
                "input_tokens = model_usage.input_tokens + excluded.input_tokens",
            ),
        ),
        ("test_what_was_written_without_an_answer_is_written_again_and_counted_once",),
        where="tests/sessions/test_usage.py",
    ),
    # A model says as much as it likes, whatever was reserved.
    "budgets passed": _of(
        (
            (
                "app/invokers/chat_models/connection.py",
                "if context.max_tokens is not None:",
                "if context.max_tokens == 0:",
            ),
        ),
        ("test_however_much_models_say_their_answers_do_not_pass_a_budget",),
        where="tests/sessions/test_budgets.py",
    ),
    # An answer to a flow is taken whether or not there was one before.
    "two answers": _of(
        (
            (
                "app/sessions/store/sql/ask_sql.py",
                "a.status = 'open' AND t.waits_for = a.id\n    AND t.status = 'waiting'\n  FOR",
                "t.waits_for = a.id\n  FOR",
            ),
        ),
        ("test_of_twenty_answers_at_once_one_wins",),
        where="tests/sessions/test_asks.py",
    ),
    # What a step asks outlives the invocation that ended while it was opened.
    "asks left open": _of(
        (
            (
                "app/sessions/turn/ending.py",
                "await runtime.asks.withdraw(before.id)",
                "pass",
            ),
        ),
        ("test_an_ask_that_opens_as_its_invocation_is_ended_is_withdrawn",),
        where="tests/sessions/test_asks.py",
    ),
    # A worker that takes timers takes them for good.
    "timers without a lease": _of(
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
    "timers sent again": _of(
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
    "breaker": _of(
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

if __name__ == "__main__":
    sys.exit(main(MUTATIONS, sys.argv[1:], workers=2))

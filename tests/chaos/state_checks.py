"""What must be true of the deployment once all is healed: it comes to rest, whole and empty."""

import asyncio
import time
from collections.abc import Iterator, Sequence

from redis.asyncio import Redis

from tests.chaos.fault import OF_REDIS, STOPS_RENEWAL, Fault
from tests.chaos.slow_clients import HALF_SENT
from tests.faults.checks import FAULTS
from tests.faults.system import System

QUIET_SECONDS = 20.0
_PARTIAL_SECONDS = 2.0  # after an answer, what readers saw of it is gone
_INVOKERS = ("working", "order", "pay", "roboto_turn", "tool_turn")

_OPEN = """
SELECT s.id, s.flow, s.state, s.invocation_id, v.id AS invocation, v.status AS invocation_status,
  t.id AS step, t.path, t.status, t.attempt, t.failures, t.losses, t.run_after, t.lease_until,
  t.error
FROM session s
LEFT JOIN invocation v ON v.session_id = s.id AND v.status = 'running'
LEFT JOIN step t ON t.session_id = s.id AND t.status IN ('waiting', 'queued', 'running')
WHERE s.invocation_id IS NOT NULL OR v.id IS NOT NULL OR t.id IS NOT NULL
  OR s.state = ANY($1::text[])"""
# A state that a flow leads to after a failure says something, too, beside the failure itself.
# A cancel names the attempt whose partial output it kept, and another one may run by then.
_FAULTS = FAULTS | {
    "a request was applied of which half came": f"""
        SELECT session_id, idx FROM message WHERE content::text LIKE '%{HALF_SENT}%'""",
    "an answer of an attempt that had lost its step": """
        SELECT m.session_id, m.idx, m.attempt AS made_by, t.attempt, t.status
        FROM message m JOIN step t ON t.id = m.step_id
        WHERE m.attempt <> t.attempt AND t.status = 'done' AND NOT EXISTS (
          SELECT FROM event e WHERE e.session_id = m.session_id AND e.name = 'retry')""",
    "a step that answered twice": """
        SELECT step_id, count(*) FROM message m
        WHERE step_id IS NOT NULL AND status = 'completed' AND NOT EXISTS (
          SELECT FROM event e WHERE e.session_id = m.session_id AND e.name = 'retry')
        GROUP BY step_id HAVING count(*) > 1""",
}
_ENDED = "SELECT extract(epoch FROM finished_at)::float8 AS ended FROM step WHERE id = $1"
_STOPS_DELETING = STOPS_RENEWAL | OF_REDIS
_DELETING_SECONDS = 1.0
_EXPIRED = "SELECT id FROM session WHERE expires_at < clock_timestamp() - interval '10 seconds'"


async def check_rest(system: System, faults: Sequence[Fault]) -> list[str]:
    """Wait until nothing is open; then look at what is there."""
    deadline = time.time() + QUIET_SECONDS
    while still_open := await system.query(_OPEN, list(_INVOKERS)):
        if time.time() > deadline:
            return [f"stuck: {dict(row)}" for row in still_open]
        await asyncio.sleep(0.5)
    found = [
        f"{fault}: {dict(row)}" for fault, sql in _FAULTS.items() for row in await system.query(sql)
    ]
    found += [f"expired, and still there: {row['id']}" for row in await system.query(_EXPIRED)]
    await asyncio.sleep(_PARTIAL_SECONDS)
    partials = [
        key for key in await _partial_keys(system) if not await _is_lost(system, key, faults)
    ]
    return [*found, *(f"left in Redis: {key}" for key in partials)]


async def _is_lost(system: System, key: str, faults: Sequence[Fault]) -> bool:
    """Whether a fault kept a worker from deleting it, just as its step ended: it expires then."""
    step_id = key.split(":")[-2]
    for row in await system.query(_ENDED, step_id):
        since, until = row["ended"] - _DELETING_SECONDS, row["ended"] + _DELETING_SECONDS
        return any(f.kind in _STOPS_DELETING and f.touches(since, until) for f in faults)
    return False


async def _partial_keys(system: System) -> list[str]:
    async with Redis.from_url(system.valkey.url) as redis:
        return [key.decode() async for key in redis.scan_iter("{statewright}:partial:*")]


def check_logs(system: System) -> Iterator[str]:
    """Faults of the deployment are warnings in the logs; an error is one of ours."""
    for line in system.logs().splitlines():
        if '"unexpected error"' in line or '"step failed","exc' in line:
            yield f"in a log: {line[:1500]}"

"""Counts what orgs have, and notes whose quotas are used up; requests read that with their key."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from structlog import get_logger

from app.enums import Quota
from app.sessions.runtime import Runtime
from app.sessions.steps.sweep.sweeper import repeat

log = get_logger(__name__)

_STEP_SECONDS = 5.0
_STORED_QUOTAS = [quota for quota in Quota if quota is not Quota.RUNNING_STEPS]

_RUNNING = """
SELECT org_id, 'running_steps' AS quota, count(*) AS used FROM step
WHERE status IN ('queued', 'running') GROUP BY org_id"""

# Sizes as they are stored, which need not be read for that. What is no quota counts as bytes alone.
_STORED = """
WITH counted AS MATERIALIZED (
  SELECT org_id, 'sessions' AS quota, count(*) AS used, sum(pg_column_size(model)) AS bytes
  FROM session GROUP BY org_id
  UNION ALL
  SELECT org_id, 'messages', count(*), sum(pg_column_size(content)) FROM message GROUP BY org_id
  UNION ALL
  SELECT org_id, 'values', count(*), sum(pg_column_size(payload)) FROM session_value
  GROUP BY org_id
  UNION ALL
  SELECT org_id, 'events', count(*), sum(pg_column_size(input)) FROM event GROUP BY org_id
  UNION ALL
  SELECT org_id, 'steps', count(*), sum(pg_column_size(input) + coalesce(pg_column_size(result), 0))
  FROM step GROUP BY org_id
  UNION ALL
  SELECT org_id, 'revisions', count(*), sum(pg_column_size(spec)) FROM flow_revision GROUP BY org_id
  UNION ALL
  SELECT org_id, 'flows', count(*), 0 FROM (
    SELECT DISTINCT ON (org_id, key) org_id, deleted FROM flow_revision
    ORDER BY org_id, key, revision DESC) AS f
  WHERE NOT deleted GROUP BY org_id
  UNION ALL
  SELECT org_id, 'agents', count(*), 0 FROM agent GROUP BY org_id
  UNION ALL
  SELECT org_id, 'agent revisions', count(*), sum(pg_column_size(request_template))
  FROM agent_revision GROUP BY org_id
  UNION ALL
  SELECT org_id, 'skills', count(*), 0 FROM skill GROUP BY org_id
  UNION ALL
  SELECT org_id, 'skill versions', count(*), sum(pg_column_size(body)) FROM skill_version
  GROUP BY org_id
  UNION ALL
  SELECT org_id, 'secrets', count(*), sum(pg_column_size(ciphertext)) FROM secret GROUP BY org_id
  UNION ALL
  SELECT org_id, 'keys', count(*), 0 FROM api_key WHERE revoked_at IS NULL GROUP BY org_id
  UNION ALL
  SELECT org_id, 'resources', count(*), sum(pg_column_size(spec)) FROM resource GROUP BY org_id
)
SELECT org_id, quota, used FROM counted
UNION ALL
SELECT org_id, 'stored_bytes', sum(bytes)::bigint FROM counted GROUP BY org_id"""

# $1 what is counted, $2 seconds between counts, whichever worker counts.
_TURN = """
INSERT INTO queue_sweep (queue, swept_at) VALUES ($1, clock_timestamp())
ON CONFLICT (queue) DO UPDATE SET swept_at = clock_timestamp()
  WHERE queue_sweep.swept_at < clock_timestamp() - $2 * interval '1 second'
RETURNING queue"""

_ORGS = """
SELECT id, quotas, used_up FROM org
WHERE quotas IS NOT NULL OR used_up IS NOT NULL OR id = ANY($1::text[])"""

_NOTE = "UPDATE org SET used_up = $2 WHERE id = $1"


async def count_quotas(runtime: Runtime) -> None:
    """Counts for ever."""
    pause = runtime.settings.quotas.count_seconds
    steps = min(pause, _STEP_SECONDS)
    running = partial(_count, runtime, [Quota.RUNNING_STEPS], _RUNNING, steps)
    stored = partial(_count, runtime, _STORED_QUOTAS, _STORED, pause)
    async with asyncio.TaskGroup() as counts:
        counts.create_task(repeat(steps, running))
        counts.create_task(repeat(pause, stored))


async def _count(runtime: Runtime, quotas: Collection[Quota], query: str, pause: float) -> None:
    pool = runtime.database.pool
    # No queue has such a name. Jitter makes the pause of one worker shorter, never by half.
    if not await pool.fetch(_TURN, f":{'+'.join(quotas)}"[:40], pause / 2):
        return
    used: dict[str, dict[str, int]] = defaultdict(dict)
    for org_id, quota, number in await pool.fetch(query):
        used[org_id][quota] = number
    limits = {quota: runtime.settings.quotas.limit(quota) for quota in quotas}
    over = [org_id for org_id, counts in used.items() if _used_up_quotas(counts, limits, {})]
    for org_id, own, before in await pool.fetch(_ORGS, over):
        others = {name: one for name, one in (before or {}).items() if name not in limits}
        now = others | _used_up_quotas(used.get(org_id, {}), limits, own or {})
        if now != (before or {}):
            await pool.execute(_NOTE, org_id, now or None)
            log.info("quotas counted", org_id=org_id, used_up=sorted(now))


def _used_up_quotas(
    counts: Mapping[str, int], limits: Mapping[Quota, int], own: Mapping[str, int]
) -> dict[str, Any]:
    """The quotas that are used up, each with how much of it is used and its limit."""
    found = {}
    for quota, limit in limits.items():
        least, used = min(limit, own.get(quota, limit)), counts.get(quota, 0)
        if used >= least:
            found[quota.value] = {"used": used, "limit": least}
    return found

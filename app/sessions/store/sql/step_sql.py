"""The SQL of steps: taken, put back, finished. Each is one statement, fenced by the attempt.

The statements that change the session too are in `change_sql`.
"""

from app.sessions.store.protocol import KNOWN_SQL
from app.sessions.store.sql.read_sql import STORED_KEYS
from app.sessions.store.sql.writes_sql import NEW_STEPS

# A step that is not the last. `counted` is the parallel or map that loses one open child; it must
# keep another, or else the caller has to assemble it. `chain` is the one that starts `steps`.
ADVANCE = (
    """
WITH i AS MATERIALIZED (
  SELECT * FROM json_to_record($1::json) AS i(
    step_id text, attempt int, result text, counted text, chain text, to_come int, cut boolean,
    composites jsonb, steps jsonb)
)
, parent AS (
  SELECT p.id FROM step p JOIN i ON p.id = i.counted
  WHERE p.status = 'waiting' AND p.remaining > 1 FOR UPDATE OF p
)
, guard AS (
  SELECT t.session_id AS id, t.org_id, t.id AS step_id
  FROM step t JOIN i ON t.id = i.step_id
  WHERE t.status = 'running' AND t.attempt = i.attempt
    AND (i.counted IS NULL OR EXISTS (SELECT 1 FROM parent))
  FOR UPDATE OF t
)
, finished_steps AS (
  UPDATE step t SET status = 'done', result = i.result, finished_at = clock_timestamp(),
    lease_until = NULL
  FROM guard g, i WHERE t.id = g.step_id
)
, finished_composites AS (
  UPDATE step t SET status = 'done', result = p.result, finished_at = clock_timestamp()
  FROM guard g, i, jsonb_to_recordset(i.composites) AS p(id text, result text)
  WHERE t.id = p.id
)
, counted_composites AS (
  UPDATE step t SET remaining = t.remaining - 1, cut = t.cut OR i.cut
  FROM guard g, i WHERE t.id = i.counted
)
, continued_chain AS (
  UPDATE step t SET remaining = i.to_come, cut = t.cut OR i.cut
  FROM guard g, i WHERE t.id = i.chain
)"""
    + NEW_STEPS.format(guard="guard")
    + "\nSELECT id FROM guard"
)

# Finished steps of parallels and maps which keep an open child each: whoever would be the last of
# one is left out, for then the caller has to assemble it.
COUNT = """
WITH i AS MATERIALIZED (
  SELECT DISTINCT ON (step_id) * FROM json_to_recordset($1::json) AS i(step_id text, attempt int,
    result text, counted text, cut boolean)
)
, parent AS (
  SELECT p.id, p.remaining FROM step p
  WHERE p.id IN (SELECT counted FROM i) AND p.status = 'waiting' ORDER BY p.id FOR UPDATE OF p
)
, guard AS (
  SELECT t.id, i.counted, i.result, i.cut
  FROM step t JOIN i ON t.id = i.step_id
  WHERE t.status = 'running' AND t.attempt = i.attempt
  FOR UPDATE OF t
)
, numbered AS (
  SELECT g.*, row_number() OVER (PARTITION BY g.counted) AS number FROM guard g
)
, done AS (
  SELECT n.* FROM numbered n JOIN parent p ON p.id = n.counted WHERE n.number < p.remaining
)
, finished_steps AS (
  UPDATE step t SET status = 'done', result = d.result, finished_at = clock_timestamp(),
    lease_until = NULL
  FROM done d WHERE t.id = d.id
)
, counted_composites AS (
  UPDATE step t SET remaining = t.remaining - c.times, cut = t.cut OR c.cut
  FROM (SELECT counted, count(*)::int AS times, bool_or(cut) AS cut FROM done GROUP BY counted) c
  WHERE t.id = c.counted
)
SELECT id FROM done"""

_DUE = """
  (t.status = 'queued' AND t.run_after <= clock_timestamp() AND ($3 OR t.lost_workers = 0)
    OR $3 AND t.status = 'running' AND t.lease_until < clock_timestamp()
      AND pg_try_advisory_xact_lock(hashtextextended(t.id, 0)))"""

# Of the composites above the composite `p`, from the outside in.
_OUTER_INPUTS = """(
  WITH RECURSIVE above AS (
    SELECT a.parent_id, a.input, 1 AS distance FROM step a WHERE a.id = p.parent_id
    UNION ALL
    SELECT a.parent_id, a.input, b.distance + 1 FROM above b JOIN step a ON a.id = b.parent_id
  )
  SELECT json_agg(input ORDER BY distance DESC) FROM above)"""

# $1 step ids, $2 lease in seconds, $3 whether those too whose worker was lost, now or before. A
# step without a row: somebody else has it, or it is over.
# A lapsed step whose owner waits for its row (RENEW_LOCKED) is the owner's.
# Locked rows are skipped, so that this waits for nobody: not for others who claim or cancel.
# A step that was running is taken over: the attempt before ended without an answer.
CLAIM = f"""
WITH due AS (
  SELECT t.id FROM step t JOIN invocation v ON v.id = t.invocation_id AND v.status = 'running'
  WHERE t.id = ANY($1::text[]) AND {_DUE} AND {KNOWN_SQL} FOR UPDATE OF t SKIP LOCKED
)
, claimed AS (
  UPDATE step t SET status = 'running', attempt = t.attempt + 1, published_at = clock_timestamp(),
    losses = t.losses + (t.status = 'running')::int,
    lost_workers = t.lost_workers + (t.status = 'running')::int,
    lease_until = clock_timestamp() + $2 * interval '1 second'
  FROM due WHERE t.id = due.id
  RETURNING t.*
)
SELECT t.id AS step_id, t.path, t.attempt, t.failures, t.losses, t.lost_workers,
  t.max_attempts, t.queue AS step_queue, t.input AS step_input, t.result AS step_result,
  t.waits_for, v.id AS running_id,
  v.event AS ending_event, v.flow_fingerprint, v.input AS actor_input, v.state AS invoker_state,
  v.created AS entered,
  coalesce(extract(epoch FROM v.deadline - clock_timestamp()), 'infinity')::float8 AS seconds_left,
  s.*, o.budget AS org_budget, {STORED_KEYS}, t.parent_id, p.path AS parent_path,
  p.kind AS parent_kind, p.remaining AS parent_remaining, p.cut AS parent_cut,
  p.input AS parent_input,
  CASE WHEN p.parent_id IS NOT NULL THEN {_OUTER_INPUTS} END AS outer_inputs
FROM claimed t JOIN invocation v ON v.id = t.invocation_id JOIN session s ON s.id = t.session_id
  JOIN org o ON o.id = s.org_id
  LEFT JOIN step p ON p.id = t.parent_id"""

# $1 step id, $2 attempt, $3 delay in seconds, $4 error, $5 failures and $6 losses to count.
PUT_BACK = """
UPDATE step SET status = 'queued', lease_until = NULL, error = $4, failures = failures + $5,
  losses = losses + $6,
  run_after = clock_timestamp() + $3 * interval '1 second',
  published_at = clock_timestamp() + $3 * interval '1 second'
WHERE id = $1 AND attempt = $2 AND status = 'running'
RETURNING id, queue, org_id"""

# $1 step, $2 attempt, $3 what it waits for, $4 seconds after which it is looked at all the same, $5
# seconds that its invocation may take then. A waiting leaf has no lease, and nobody claims it.
SUSPENDED = """
guard AS (
  SELECT t.id, t.session_id, t.org_id, v.id AS invocation_id
  FROM step t JOIN invocation v ON v.id = t.invocation_id JOIN session s ON s.id = v.session_id
  WHERE t.id = $1 AND t.attempt = $2 AND t.status = 'running' AND v.status = 'running'
  FOR KEY SHARE OF s FOR UPDATE OF v, t
)
, suspended_step AS (
  UPDATE step t SET status = 'waiting', lease_until = NULL, waits_for = $3,
    run_after = clock_timestamp() + $4 * interval '1 second'
  FROM guard g WHERE t.id = g.id
)
, extended_invocation AS (
  UPDATE invocation v SET deadline = clock_timestamp() + ($4 + $5::float8) * interval '1 second'
  FROM guard g WHERE v.id = g.invocation_id
    AND v.deadline < clock_timestamp() + ($4 + $5::float8) * interval '1 second'
)"""
SUSPEND = f"WITH {SUSPENDED}\nSELECT id FROM guard"

# Of a step `t`: whether what it waits for is still to come.
_AWAITED = """(
  EXISTS (SELECT 1 FROM action a WHERE a.id = t.waits_for AND a.status = 'open')
  OR EXISTS (SELECT 1 FROM session c WHERE c.id = t.waits_for AND (c.invocation_id IS NOT NULL
    OR EXISTS (SELECT 1 FROM action a WHERE a.session_id = c.id AND a.status = 'open'))))"""

# $1 what steps wait for: those for which it has come, or whose time is up, are queued. Who suspends
# a step asks this after that was committed, and who brings about what it waits for after that was;
# so one of the two finds it.
WAKE = f"""
UPDATE step t SET status = 'queued', run_after = clock_timestamp(), published_at = clock_timestamp()
WHERE t.waits_for = ANY($1::text[]) AND t.status = 'waiting'
  AND (t.run_after <= clock_timestamp() OR NOT {_AWAITED})
RETURNING t.id, t.queue, t.org_id"""

# Of a step `t` that waited for something when its invocation ended.
_ENDED_WAITING = "t.waits_for IS NOT NULL AND t.status IN ('superseded', 'failed')"

# $1 what was looked at last, $2 how many: what steps wait for, or waited for when their invocations
# ended, in order.
WAITS = f"""
SELECT t.waits_for, t.org_id, {_ENDED_WAITING} AS ended FROM step t
WHERE t.waits_for > $1 AND t.status <> 'done' AND (t.status = 'waiting' OR {_ENDED_WAITING})
ORDER BY t.waits_for LIMIT $2"""

# $1 invocation that ended: what its steps waited for.
ENDED_WAITS = f"""
SELECT t.waits_for, t.org_id, true AS ended FROM step t
WHERE t.invocation_id = $1 AND {_ENDED_WAITING}"""

# $1 what nothing waits for any more, and nothing has to be done about.
FORGET_WAIT = f"UPDATE step t SET waits_for = NULL WHERE t.waits_for = $1 AND {_ENDED_WAITING}"

# $1 ids, $2 attempts, $3 lease in seconds. Steps that do not come back are lost. A row that
# somebody has locked comes back as not renewed: it must not hold up the others.
RENEW = """
WITH held AS (SELECT * FROM unnest($1::text[], $2::int[]) AS h(id, attempt))
, free AS (
  SELECT t.id FROM step t JOIN held h ON h.id = t.id AND h.attempt = t.attempt
  WHERE t.status = 'running' FOR UPDATE OF t SKIP LOCKED
)
, renewed AS (
  UPDATE step t SET lease_until = clock_timestamp() + $3 * interval '1 second'
  FROM free WHERE t.id = free.id
)
SELECT t.id, free.id IS NOT NULL AS renewed
FROM step t JOIN held h ON h.id = t.id AND h.attempt = t.attempt LEFT JOIN free ON free.id = t.id
WHERE t.status = 'running'"""

# $1 step. Who is woken when a row gets free is often later than somebody who only looks whether it
# is free: this keeps those out (CLAIM).
OWNER_WAITS = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"

# $1 step. An UPDATE that waits for the row would write the time at which it began to wait.
LOCK_STEP = "SELECT FROM step WHERE id = $1 FOR UPDATE"

# $1 step, $2 attempt, $3 lease in seconds; after the two above, in their transaction.
RENEW_LOCKED = """
UPDATE step SET lease_until = clock_timestamp() + $3 * interval '1 second'
WHERE id = $1 AND attempt = $2 AND status = 'running'"""

# Steps of `own_queues (queue, most)` that are due and that were not published for $1 seconds, those
# whose worker was lost first. `now()`, since an index is not asked for a volatile value.
# Steps that were started just while their invocation ended from outside are open still, since the
# statement that ended it did not see them yet: they are superseded here.
_STALE = f"""
, lost AS (
  SELECT d.id FROM own_queues o CROSS JOIN LATERAL (
    SELECT t.id FROM step t
    WHERE t.queue = o.queue AND t.status = 'running' AND t.lease_until < now()
      AND t.published_at < now() - $1 * interval '1 second' AND {KNOWN_SQL}
    ORDER BY t.lease_until LIMIT o.most FOR UPDATE SKIP LOCKED) d
)
, unclaimed AS (
  SELECT d.id FROM own_queues o CROSS JOIN LATERAL (
    SELECT t.id FROM step t
    WHERE t.queue = o.queue AND t.status = 'queued' AND t.run_after <= now()
      AND t.published_at < now() - $1 * interval '1 second' AND {KNOWN_SQL}
    ORDER BY t.published_at LIMIT o.most FOR UPDATE SKIP LOCKED) d
)
, stale AS MATERIALIZED (
  SELECT c.id, c.lost, t.invocation_id, v.status = 'running' AS is_open
  FROM (SELECT id, true AS lost FROM lost UNION ALL SELECT id, false FROM unclaimed) c
  JOIN step t ON t.id = c.id JOIN invocation v ON v.id = t.invocation_id
)
, superseded_steps AS (
  UPDATE step t SET status = 'superseded', finished_at = clock_timestamp(), lease_until = NULL
  FROM (SELECT DISTINCT invocation_id FROM stale WHERE NOT is_open) s
  WHERE t.invocation_id = s.invocation_id AND t.status IN ('waiting', 'queued', 'running')
)
, published_steps AS (
  UPDATE step t SET published_at = clock_timestamp() FROM stale s WHERE t.id = s.id AND s.is_open
  RETURNING t.id, t.queue, t.org_id, s.lost
)
SELECT id, queue, org_id FROM published_steps ORDER BY lost DESC"""

# $2 queues in order, $3 seconds between the sweeps of a queue, whoever sweeps it. What nobody
# serves must not keep the others waiting.
SWEEP = (
    """
WITH own_queues AS (
  INSERT INTO queue_sweep (queue, swept_at)
  SELECT queue, clock_timestamp() FROM unnest($2::text[]) AS q(queue)
  ON CONFLICT (queue) DO UPDATE SET swept_at = clock_timestamp()
    WHERE queue_sweep.swept_at < clock_timestamp() - $3 * interval '1 second'
  RETURNING queue, 200 AS most
)"""
    + _STALE
)

# $2 queues, $3 how many steps of each: for a worker that goes on without Redis.
TAKE_DUE = (
    """
WITH own_queues AS (
  SELECT * FROM unnest($2::text[], $3::int[]) AS q(queue, most)
)"""
    + _STALE
)

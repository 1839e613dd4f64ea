"""The SQL of asks: actions that steps open, each change one statement fenced by the step."""

from app.sessions.store.sql.step_sql import SUSPENDED

# $1 to $5 as a step is suspended, $3 being the action's id; $6 the action. A step that looks again
# finds the same action.
ASK = (
    f"WITH {SUSPENDED}"
    """
, opened_action AS (
  INSERT INTO action (id, session_id, org_id, kind, step_id, question, arguments, answer_schema,
    approvers, deadline, on_expiry, status)
  SELECT $3, g.session_id, g.org_id, a.kind, g.id, a.question, a.arguments, a.answer_schema,
    a.approvers, clock_timestamp() + a.seconds * interval '1 second', a.on_expiry, 'open'
  FROM guard g, json_to_record($6::json) AS a(kind text, question text, arguments jsonb,
    answer_schema jsonb, approvers text, seconds float, on_expiry text)
  ON CONFLICT (id) DO NOTHING
)
SELECT id FROM guard"""
)

# Ends the asks of `guard`, and queues their steps.
_ENDED = """
, ended_actions AS (
  UPDATE action a SET status = {status}, resolution = {resolution}, resolved_by = {resolved_by},
    resolved_at = clock_timestamp()
  FROM guard g WHERE a.id = g.id
)
, queued_steps AS (
  UPDATE step t SET status = 'queued', result = {result}, run_after = clock_timestamp(),
    published_at = clock_timestamp()
  FROM guard g WHERE t.id = g.step_id
)
SELECT step_id, queue, org_id, session_id FROM guard"""

# $1 action, $2 org, $3 its new status, $4 what was decided, $5 by whom, $6 the step's result if it
# is the answer. No row: the action is not open any more, or its step does not wait.
RESOLVE = """
WITH guard AS (
  SELECT a.id, t.id AS step_id, t.queue, t.org_id, t.session_id
  FROM step t JOIN action a ON a.step_id = t.id
  WHERE a.id = $1 AND a.org_id = $2 AND a.status = 'open' AND t.waits_for = a.id
    AND t.status = 'waiting'
  FOR UPDATE OF t, a
)""" + _ENDED.format(status="$3", resolution="$4::jsonb", resolved_by="$5", result="$6")

# Those whose time is up.
EXPIRE = """
WITH guard AS (
  SELECT a.id, t.id AS step_id, t.queue, t.org_id, t.session_id
  FROM step t JOIN action a ON a.step_id = t.id
  WHERE a.status = 'open' AND a.deadline < clock_timestamp() AND t.waits_for = a.id
    AND t.status = 'waiting'
  ORDER BY a.deadline LIMIT 100 FOR UPDATE OF t, a SKIP LOCKED
)""" + _ENDED.format(status="'expired'", resolution="NULL", resolved_by="NULL", result="NULL")

# $1 session: its steps do not ask any more, for their invocation has ended.
WITHDRAW = """
UPDATE action a SET status = 'cancelled', resolved_at = clock_timestamp()
WHERE a.session_id = $1 AND a.step_id IS NOT NULL AND a.status = 'open' AND NOT EXISTS (
  SELECT 1 FROM step t WHERE t.id = a.step_id AND t.status IN ('waiting', 'queued', 'running'))"""

# $1 action: how it stands, and who ended it.
OUTCOME = """
SELECT a.status, a.on_expiry, a.resolution->>'message' AS message, u.email
FROM action a LEFT JOIN "user" u ON u.id = a.resolved_by WHERE a.id = $1"""

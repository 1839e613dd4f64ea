"""The SQL of a turn: each change of a session is one statement, so it happens whole or not at all.

Every change comes as one JSON document (`$1`) beside the session's model (`$2`). Rows
are locked in the order session, invocation, step. A statement that returns no row changed nothing:
the fence (the session's version, the step's attempt) had moved on.
"""

from app.sessions.store.sql.forms import forms_of
from app.sessions.visibility import NOT_EXPIRED_SQL

# The change, as a row that the parts of a statement join with.
_INPUT = """
WITH i AS MATERIALIZED (
  SELECT * FROM json_to_record($1::json) AS i(
    session_id text, org_id text, version int, state text, source text, cause text, event text,
    error text, message_count int, title text, messages jsonb, steps jsonb, stored jsonb,
    deleted jsonb, growth jsonb, opened jsonb, closed jsonb, invocation jsonb, client_event json,
    new_session jsonb, budget jsonb, refusal text, chart jsonb,
    step_id text, attempt int, result text, closes text, closed_as text, closed_error text,
    resumes text, new_goals json, changed_goals json, datasets jsonb, dataset_events jsonb)
){new_chart}"""

_SET_SESSION = """
  SET state = i.state, model = $2, version = s.version + 1, invocation_id = i.invocation->>'id',
    task_error = i.error, message_count = i.message_count,
    modified = clock_timestamp(){set_chart},
    budget = coalesce(i.budget, s.budget)"""

_END = "{writes}\nSELECT version FROM changed"

_NEW_SESSION = """
, changed AS (
  INSERT INTO session (id, org_id, flow, flow_revision, state, model, version, invocation_id,
    task_error, message_count, title, visibility, model_profile, budget, user_info, agent_id,
    agent_revision, forked_from_id, forked_from_message{{chart_columns}}, expires_at,
    created_by{columns})
  SELECT i.session_id, i.org_id, n.flow, n.flow_revision, i.state, $2, 1, i.invocation->>'id',
    i.error, i.message_count, i.title, n.visibility, n.model_profile, n.budget, n.user_info,
    n.agent_id, n.agent_revision, n.forked_from_id, n.forked_from_message{{chart_values}},
    {expires_at}, n.created_by{values}
  FROM i{parent}, jsonb_to_record(i.new_session) AS n(flow text, flow_revision int, visibility text,
    model_profile text, budget jsonb, user_info jsonb, agent_id text, agent_revision int,
    forked_from_id text, forked_from_message int, ttl int, created_by text)
  ON CONFLICT (id) DO NOTHING
  RETURNING id, org_id, version, created
)"""
_STARTED = "{writes}\nSELECT version, created FROM changed"

# A new session with its first messages, and the event that it was started with, if any.
START = forms_of(
    _INPUT
    + _NEW_SESSION.format(
        columns="",
        values="",
        parent="",
        expires_at="clock_timestamp() + n.ttl * interval '1 second'",
    )
    + _STARTED
)

# The same by a step, which waits for it: both or neither, so that however often the step is run
# there is one such session, and none that nobody knows of.
START_CHILD = forms_of(
    _INPUT
    + """
, parent AS (
  SELECT p.id, p.depth, p.expires_at, t.id AS step_id
  FROM session p JOIN step t ON t.session_id = p.id JOIN i ON t.id = i.step_id
  WHERE t.attempt = i.attempt AND t.status = 'running' AND t.waits_for IS NULL
  FOR KEY SHARE OF p FOR UPDATE OF t
)
, waiting_step AS (
  UPDATE step t SET waits_for = i.session_id FROM parent p, i WHERE t.id = p.step_id
)"""
    + _NEW_SESSION.format(
        columns=", parent_session_id, depth",
        values=", p.id, p.depth + 1",
        parent=" CROSS JOIN parent p",
        expires_at="p.expires_at",
    )
    + _STARTED
)

# An event that a client sent: the session must still be at the version that was read.
ADMIT = forms_of(
    _INPUT
    + f"""
, changed AS (
  UPDATE session s {_SET_SESSION}
  FROM i WHERE s.id = i.session_id AND s.org_id = i.org_id AND s.version = i.version
  RETURNING s.id, s.org_id, s.version
)"""
    + _END
)

_OWN_STEP = """
, guard AS (
  SELECT s.id, v.id AS invocation_id
  FROM session s
  JOIN invocation v ON v.id = s.invocation_id AND v.status = 'running'
  JOIN step t ON t.invocation_id = v.id
  JOIN i ON s.id = i.session_id AND s.version = i.version AND v.id = i.closes
  WHERE t.id = i.step_id AND t.status = 'running' AND t.attempt = i.attempt
  FOR UPDATE OF s, v, t
)
, finished_steps AS (
  UPDATE step t
  SET status = CASE WHEN t.id <> i.step_id THEN
        CASE WHEN i.closed_as = 'done' THEN 'done' ELSE 'superseded' END
      WHEN i.closed_as = 'cancelled' THEN 'superseded' ELSE i.closed_as END,
    result = CASE WHEN t.id = i.step_id THEN i.result ELSE t.result END,
    error = CASE WHEN t.id = i.step_id THEN i.closed_error ELSE t.error END,
    finished_at = clock_timestamp(), lease_until = NULL
  FROM guard g, i
  WHERE t.invocation_id = g.invocation_id AND t.status IN ('waiting', 'queued', 'running')
)"""

_NO_STEP = """
, guard AS (
  SELECT s.id, v.id AS invocation_id
  FROM session s
  JOIN invocation v ON v.id = s.invocation_id AND v.status = 'running'
  JOIN i ON s.id = i.session_id AND s.version = i.version AND v.id = i.closes
  WHERE s.org_id = i.org_id
  FOR UPDATE OF s, v
)
, finished_steps AS (
  UPDATE step t SET status = 'superseded', finished_at = clock_timestamp(), lease_until = NULL
  FROM guard g
  WHERE t.invocation_id = g.invocation_id AND t.status IN ('waiting', 'queued', 'running')
)"""

_CLOSED = f"""
, closed_invocation AS (
  UPDATE invocation v SET status = i.closed_as, error = i.closed_error,
    finished_at = clock_timestamp(),
    model = CASE WHEN i.closed_as <> 'done' THEN s.model END  -- as it was: to resume from
  FROM guard g JOIN session s ON s.id = g.id, i WHERE v.id = g.invocation_id
)
, changed AS (
  UPDATE session s {_SET_SESSION}
  FROM guard g, i WHERE s.id = g.id
  RETURNING s.id, s.org_id, s.version
)"""

# The last step of an invocation: its result, the invocation's end and its event, all or nothing.
COMPLETE = forms_of(_INPUT + _OWN_STEP + _CLOSED + _END)

# The end of an invocation from outside (cancel): its open steps are superseded.
CLOSE = forms_of(_INPUT + _NO_STEP + _CLOSED + _END)

# A failed invocation goes on as a new one: its steps that are done keep their results. One that was
# cut short may have had its effect: that counts as a loss.
RESUME = forms_of(
    _INPUT
    + """
, guard AS (
  SELECT s.id, v.id AS invocation_id, v.created
  FROM session s
  JOIN i ON s.id = i.session_id AND s.version = i.version AND s.org_id = i.org_id
  JOIN invocation v ON v.id = i.resumes AND v.session_id = s.id
  WHERE s.invocation_id IS NULL AND v.model IS NOT NULL
  FOR UPDATE OF s, v
)
, reopened_steps AS (
  UPDATE step t SET invocation_id = i.invocation->>'id', failures = 0,
    losses = (t.status = 'superseded' AND t.attempt > 0)::int, lost_workers = 0,
    status = CASE WHEN t.status = 'done' THEN 'done' WHEN t.kind = 'leaf' THEN 'queued'
      ELSE 'waiting' END,
    error = NULL, finished_at = CASE WHEN t.status = 'done' THEN t.finished_at END,
    waits_for = CASE WHEN t.status = 'done' THEN t.waits_for END,
    run_after = clock_timestamp(), published_at = clock_timestamp()
  FROM guard g, i WHERE t.invocation_id = g.invocation_id
  RETURNING t.id, t.queue, t.org_id, t.status
)
, undone_values AS (
  -- What the failure's transition stored: the rows of one statement share their transaction, as
  -- those of a restored dump may too, so only what is newer than the invocation.
  DELETE FROM session_value w USING guard g, i, transition t
  WHERE w.session_id = g.id AND w.created > g.created
    AND t.session_id = g.id AND t.version = i.version AND w.xmin = t.xmin
)
, reopened_goals AS (
  UPDATE goal o SET status = 'pending', concluded_at = NULL, concluded_version = NULL
  FROM guard g, i
  WHERE o.session_id = g.id AND o.concluded_version = i.version AND o.status = 'failed'
)
, resumed_invocation AS (
  UPDATE invocation v SET model = NULL FROM guard g WHERE v.id = g.invocation_id
)
, changed AS (
  UPDATE session s
  SET state = i.state, model = $2, version = s.version + 1,
    invocation_id = i.invocation->>'id', task_error = NULL, modified = clock_timestamp(){set_chart}
  FROM guard g, i WHERE s.id = g.id
  RETURNING s.id, s.org_id, s.version
)"""
    + "{writes}"
    + "\nSELECT id, queue, org_id FROM reopened_steps WHERE status = 'queued'"
)

# $1 seconds, $2 how many: sessions in which the time of a timer has come and nothing runs. Whoever
# gets one has it for so long, and loses it to another when that is over.
TIMERS = f"""
UPDATE session SET timer_due = clock_timestamp() + $1 * interval '1 second'
WHERE id = ANY(ARRAY(
  SELECT s.id FROM session s
  WHERE s.timer_due <= clock_timestamp() AND s.invocation_id IS NULL AND {NOT_EXPIRED_SQL}
  ORDER BY s.timer_due LIMIT $2 FOR UPDATE SKIP LOCKED))
RETURNING org_id, id, clock_timestamp()"""

# $1 an action that its session does not wait for any more.
EXPIRE_ACTION = """
UPDATE action SET status = 'expired', resolved_at = clock_timestamp()
WHERE id = $1 AND status = 'open'"""

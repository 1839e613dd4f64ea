"""The SQL of a turn: each change of a session is one statement, so it happens whole or not at all.

Every change comes as one JSON document (`$1`) beside the session's model (`$2`). Rows
are locked in the order session, invocation, step. A statement that returns no row changed nothing:
the fence (the session's version, the step's attempt) had moved on.
"""

from app.sessions.visibility import EXPIRED_SQL

# The change, as a row that the parts below join with.
_INPUT = """
WITH i AS MATERIALIZED (
  SELECT * FROM json_to_record($1::json) AS i(
    session_id text, org_id text, version int, state text, source text, cause text, event text,
    error text, message_count int, title text, messages jsonb, steps jsonb, stored jsonb,
    deleted jsonb, growth jsonb, opened jsonb, closed jsonb, invocation jsonb, client_event json,
    new_session jsonb, budget jsonb,
    step_id text, attempt int, result text, closes text, closed_as text, closed_error text,
    resumes text, new_goals json, changed_goals json, datasets jsonb, dataset_events jsonb)
)"""

# What every change writes beside the session's own row; `changed` says whether it may.
_WRITES = """
, new_transition AS (
  INSERT INTO transition (session_id, version, org_id, cause, event, source, target, error,
    message_count)
  SELECT c.id, c.version, c.org_id, i.cause, i.event, i.source, i.state, i.error, i.message_count
  FROM changed c, i
)
, new_messages AS (
  INSERT INTO message (session_id, idx, org_id, role, content, status, step_id, attempt)
  SELECT c.id, m.idx, c.org_id, m.role, m.content, m.status, m.step_id, m.attempt
  FROM changed c, i, jsonb_to_recordset(i.messages)
    AS m(idx bigint, role text, content jsonb, status text, step_id text, attempt int)
)
, new_values AS (
  INSERT INTO session_value (session_id, key, org_id, payload)
  SELECT c.id, v.key, c.org_id, decode(v.payload, 'base64')
  FROM changed c, i, jsonb_to_recordset(i.stored) AS v(key text, payload text)
)
, deleted_values AS (
  DELETE FROM session_value v USING changed c, i
  WHERE v.session_id = c.id AND i.deleted ? v.key
)
, new_invocation AS (
  INSERT INTO invocation (id, session_id, org_id, version, state, event, input, status, deadline,
    flow_fingerprint)
  SELECT n.id, c.id, c.org_id, c.version, n.state, n.event, n.input, 'running',
    clock_timestamp() + n.seconds * interval '1 second', n.flow_fingerprint
  FROM changed c, i, jsonb_to_record(i.invocation)
    AS n(id text, state text, event text, input text, seconds float, flow_fingerprint text)
  WHERE i.invocation IS NOT NULL
)
, new_event AS (
  INSERT INTO event (id, session_id, org_id, name, input, idempotency_key, request_hash, answer,
    created_by)
  SELECT e.id, c.id, c.org_id, e.name, e.input, e.idempotency_key, decode(e.request_hash, 'hex'),
    e.answer, e.created_by
  FROM changed c, i, json_to_record(i.client_event) AS e(id text, name text, input text,
    idempotency_key text, request_hash text, answer json, created_by text)
  WHERE i.client_event IS NOT NULL
)"""

# What only turns of agents write: results of tools that grow, actions, goals and their effects.
_AGENT_WRITES = """
, grown_message AS (
  UPDATE message m SET content = m.content || g.content, status = g.status
  FROM changed c, i, jsonb_to_record(i.growth) AS g(idx bigint, content jsonb, status text)
  WHERE i.growth IS NOT NULL AND m.session_id = c.id AND m.idx = g.idx
)
, opened_actions AS (
  INSERT INTO action (id, session_id, org_id, kind, tool_call_id, name, arguments, answer_schema,
    approvers, question, deadline, on_expiry, status)
  SELECT a.id, c.id, c.org_id, a.kind, a.tool_call_id, a.name, a.arguments, a.answer_schema,
    a.approvers, a.question, clock_timestamp() + a.seconds * interval '1 second', a.on_expiry,
    'open'
  FROM changed c, i, jsonb_to_recordset(i.opened) AS a(id text, kind text, tool_call_id text,
    name text, arguments jsonb, answer_schema jsonb, approvers text, question text, seconds float,
    on_expiry text)
)
, closed_actions AS (
  UPDATE action a SET status = x.status, resolution = x.resolution,
    resolved_by = i.client_event->>'created_by', resolved_at = clock_timestamp()
  FROM changed c, i, jsonb_to_recordset(i.closed) AS x(id text, status text, resolution jsonb)
  WHERE a.session_id = c.id AND a.id = x.id AND a.status = 'open'
)
, new_goals AS (
  INSERT INTO goal (session_id, idx, org_id, kind, data, status, message_idx)
  SELECT c.id, g.idx, c.org_id, g.kind, g.data, g.status, g.message_idx
  FROM changed c, i, json_to_recordset(i.new_goals)
    AS g(idx int, kind text, data json, status text, message_idx bigint)
)
, changed_goals AS (
  UPDATE goal o SET status = g.status, tool_use_id = g.tool_use_id, output = g.output,
    concluded_at = CASE WHEN g.status <> 'pending' THEN clock_timestamp() END,
    concluded_version = CASE WHEN g.status <> 'pending' THEN c.version END
  FROM changed c, i, json_to_recordset(i.changed_goals)
    AS g(idx int, status text, tool_use_id text, output json)
  WHERE o.session_id = c.id AND o.idx = g.idx
)
, described_datasets AS (
  UPDATE entity e SET summary = coalesce(d.summary, e.summary), tags = (
    SELECT coalesce(jsonb_agg(tag ORDER BY tag), '[]') FROM (
      SELECT jsonb_array_elements_text(e.tags) AS tag UNION SELECT jsonb_array_elements_text(d.tags)
    ) AS t WHERE NOT d.removed_tags ? tag)
  FROM changed c, i, jsonb_to_recordset(i.datasets)
    AS d(id text, summary text, tags jsonb, removed_tags jsonb)
  WHERE e.id = d.id AND e.org_id = c.org_id
)
, event_entities AS (
  -- Locked: one that is deleted at this moment takes its events with it.
  SELECT n.id FROM entity n, changed c WHERE n.org_id = c.org_id AND n.id IN (
    SELECT e.entity FROM i, jsonb_array_elements(i.dataset_events) AS one,
      unnest(ARRAY[one->>'dataset_id', one->>'collection_id']) AS e(entity))
  FOR KEY SHARE OF n
)
, new_dataset_events AS (
  INSERT INTO dataset_event (id, org_id, dataset_id, collection_id, session_id, name, start_time,
    end_time, description, tags, target_id)
  SELECT e.id, c.org_id, d.id, l.id, c.id, e.name, e.start_time, e.end_time, e.description, e.tags,
    e.target_id
  FROM changed c, i, jsonb_to_recordset(i.dataset_events)
    AS e(id text, dataset_id text, collection_id text, name text, start_time bigint,
      end_time bigint, description text, tags jsonb, target_id text)
  JOIN event_entities d ON d.id = e.dataset_id
  LEFT JOIN event_entities l ON l.id = e.collection_id
)"""

NEW_STEPS = """
, new_steps AS (
  INSERT INTO step (id, invocation_id, session_id, org_id, path, parent_id, kind, status, queue,
    attempt, max_attempts, protocol, remaining, input, result, published_at, lease_until)
  SELECT p.id, p.invocation_id, g.id, g.org_id, p.path, p.parent_id, p.kind, p.status, p.queue,
    p.attempt, p.max_attempts, p.protocol, p.remaining, p.input, p.result, clock_timestamp(),
    clock_timestamp() + p.lease * interval '1 second'
  FROM {guard} g, i, jsonb_to_recordset(i.steps) AS p(id text, invocation_id text, path text,
    parent_id text, kind text, status text, queue text, attempt int, max_attempts int,
    protocol int, remaining int, input jsonb, result text, lease float)
)"""

_SET_SESSION = """
  SET state = i.state, model = $2, version = s.version + 1, invocation_id = i.invocation->>'id',
    task_error = i.error, message_count = i.message_count, modified = clock_timestamp(),
    budget = coalesce(i.budget, s.budget)"""

_END = "\nSELECT version FROM changed"

_NEW_SESSION = """
, changed AS (
  INSERT INTO session (id, org_id, flow, flow_revision, state, model, version, invocation_id,
    task_error, message_count, title, visibility, model_profile, budget, user_info, agent_id,
    agent_revision, forked_from_id, forked_from_message, expires_at, created_by{columns})
  SELECT i.session_id, i.org_id, n.flow, n.flow_revision, i.state, $2, 1, i.invocation->>'id',
    i.error, i.message_count, i.title, n.visibility, n.model_profile, n.budget, n.user_info,
    n.agent_id,
    n.agent_revision, n.forked_from_id, n.forked_from_message, {expires_at}, n.created_by{values}
  FROM i{parent}, jsonb_to_record(i.new_session) AS n(flow text, flow_revision int, visibility text,
    model_profile text, budget jsonb, user_info jsonb, agent_id text, agent_revision int,
    forked_from_id text, forked_from_message int, ttl int, created_by text)
  ON CONFLICT (id) DO NOTHING
  RETURNING id, org_id, version, created
)"""
_STARTED = _WRITES + NEW_STEPS.format(guard="changed") + "\nSELECT version, created FROM changed"

# A new session with its first messages, and the event that it was started with, if any.
START = (
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
START_CHILD = (
    _INPUT
    + """
, parent AS (
  SELECT p.id, p.depth, p.expires_at, t.id AS step_id
  FROM session p JOIN step t ON t.session_id = p.id JOIN i ON t.id = i.step_id
  WHERE t.attempt = i.attempt AND t.status = 'running' AND t.waits_for IS NULL
  FOR KEY SHARE OF p FOR UPDATE OF t
)
, waits AS (
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
ADMIT = (
    _INPUT
    + f"""
, changed AS (
  UPDATE session s {_SET_SESSION}
  FROM i WHERE s.id = i.session_id AND s.org_id = i.org_id AND s.version = i.version
  RETURNING s.id, s.org_id, s.version
)"""
    + _WRITES
    + NEW_STEPS.format(guard="changed")
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
, finished AS (
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
, finished AS (
  UPDATE step t SET status = 'superseded', finished_at = clock_timestamp(), lease_until = NULL
  FROM guard g
  WHERE t.invocation_id = g.invocation_id AND t.status IN ('waiting', 'queued', 'running')
)"""

_CLOSED = f"""
, closed AS (
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
COMPLETE = _INPUT + _OWN_STEP + _CLOSED + _WRITES + NEW_STEPS.format(guard="changed") + _END

# The end of an invocation from outside (cancel): its open steps are superseded.
CLOSE = _INPUT + _NO_STEP + _CLOSED + _WRITES + NEW_STEPS.format(guard="changed") + _END

# A failed invocation goes on as a new one: its steps that are done keep their results. One that was
# cut short may have had its effect: that counts as a loss.
RESUME = (
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
, reopened AS (
  UPDATE step t SET invocation_id = i.invocation->>'id', failures = 0,
    losses = (t.status = 'superseded' AND t.attempt > 0)::int,
    status = CASE WHEN t.status = 'done' THEN 'done' WHEN t.kind = 'leaf' THEN 'queued'
      ELSE 'waiting' END,
    error = NULL, finished_at = CASE WHEN t.status = 'done' THEN t.finished_at END,
    waits_for = CASE WHEN t.status = 'done' THEN t.waits_for END,
    run_after = clock_timestamp(), published_at = clock_timestamp()
  FROM guard g, i WHERE t.invocation_id = g.invocation_id
  RETURNING t.id, t.queue, t.status
)
, dropped AS (
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
, taken AS (
  UPDATE invocation v SET model = NULL FROM guard g WHERE v.id = g.invocation_id
)
, changed AS (
  UPDATE session s
  SET state = i.state, model = $2, version = s.version + 1,
    invocation_id = i.invocation->>'id', task_error = NULL, modified = clock_timestamp()
  FROM guard g, i WHERE s.id = g.id
  RETURNING s.id, s.org_id, s.version
)"""
    + _WRITES
    + "\nSELECT id, queue FROM reopened WHERE status = 'queued'"
)

# The same statements for changes that write something of these: each part costs even where it is
# empty, and most changes have none of them.
OF_AGENTS = {
    statement: statement.replace(_WRITES, _WRITES + _AGENT_WRITES)
    for statement in (START, START_CHILD, ADMIT, COMPLETE, CLOSE, RESUME)
}

EXPIRE = f"""
DELETE FROM session WHERE id IN (
  SELECT s.id FROM session s WHERE {EXPIRED_SQL} LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING id"""

# $1 an action that its session does not wait for any more.
EXPIRE_ACTION = """
UPDATE action SET status = 'expired', resolved_at = clock_timestamp()
WHERE id = $1 AND status = 'open'"""

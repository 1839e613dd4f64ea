"""What a change writes beside the session's own row: parts of the statements that change one.

`i` is the change, `changed` the session's row, if it could be changed.
"""

# What every change writes beside the session's own row; `changed` says whether it may.
WRITES = """
, new_transition AS (
  INSERT INTO transition (session_id, version, org_id, cause, event, source, target, error,
    message_count, refusal)
  SELECT c.id, c.version, c.org_id, i.cause, i.event, i.source, i.state, i.error, i.message_count,
    i.refusal
  FROM changed c, i
)
, new_messages AS (
  INSERT INTO message (session_id, idx, org_id, role, content, status, step_id, attempt, reasoning,
    created_by)
  SELECT c.id, m.idx, c.org_id, m.role, m.content, m.status, m.step_id, m.attempt, m.reasoning,
    m.created_by
  FROM changed c, i, jsonb_to_recordset(i.messages) AS m(idx bigint, role text, content jsonb,
    status text, step_id text, attempt int, reasoning text, created_by text)
)"""

# What few sessions have: a secondary store.
VALUE_WRITES = """
, new_values AS (
  INSERT INTO session_value (session_id, key, org_id, payload)
  SELECT c.id, v.key, c.org_id, decode(v.payload, 'base64')
  FROM changed c, i, jsonb_to_recordset(i.stored) AS v(key text, payload text)
)
, deleted_values AS (
  DELETE FROM session_value v USING changed c, i
  WHERE v.session_id = c.id AND i.deleted ? v.key
)"""

# What starts an invocation.
INVOCATION_WRITES = """
, new_invocation AS (
  INSERT INTO invocation (id, session_id, org_id, version, state, event, input, status, deadline,
    flow_fingerprint)
  SELECT n.id, c.id, c.org_id, c.version, n.state, n.event, n.input, 'running',
    clock_timestamp() + n.seconds * interval '1 second', n.flow_fingerprint
  FROM changed c, i, jsonb_to_record(i.invocation)
    AS n(id text, state text, event text, input text, seconds float, flow_fingerprint text)
  WHERE i.invocation IS NOT NULL
)"""

# What a client sent.
EVENT_WRITES = """
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
AGENT_WRITES = """
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

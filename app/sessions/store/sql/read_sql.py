"""The SQL that reads sessions; what is read often leaves out the model, which may be large."""

from app.sessions.store.cause import CauseKind
from app.sessions.store.sql.usage_sql import usage_sum
from app.sessions.visibility import NOT_EXPIRED_SQL

_CLIENT_ACTED = f"cause LIKE '{CauseKind.EVENT.prefix}%'"

# Of a session `s`: the keys of its secondary store. The values may be large, and few turns read
# them.
STORED_KEYS = """
  (SELECT array_agg(w.key::text ORDER BY w.key) FROM session_value w WHERE w.session_id = s.id)
    AS stored_keys"""

# $1 session, $2 keys, $3 bytes that the values may have together; with more, none is given.
STORED_VALUES = """
SELECT key, total, CASE WHEN total <= $3 THEN payload END AS payload
FROM (
  SELECT key, payload, sum(octet_length(payload)) OVER () AS total
  FROM session_value WHERE session_id = $1 AND key = ANY($2::text[])
) v"""

_HEAD = """
  s.id, s.org_id, s.flow, s.flow_revision, s.state, s.version, s.invocation_id, s.task_error,
  s.message_count, s.title, s.visibility, s.model_profile, s.budget, s.user_info, s.agent_id,
  s.forked_from_id, s.forked_from_message, s.parent_session_id, s.depth, s.chart, s.created,
  s.created_by"""

# Of an action `a`: whether a step that asked is over, and with it the action, if it is still open.
# What ended the step may not have seen an action that was opened at the same moment.
_IS_LEFT = """(a.step_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM step t WHERE t.id = a.step_id
    AND t.waits_for = a.id AND t.status IN ('waiting', 'queued', 'running')))"""

# The condition that a row of `action` is shown as it is.
ACTION_IS_TRUE = f"""(action.status <> 'open' OR NOT {_IS_LEFT.replace("a.", "action.")})"""

_MOST_OPEN_ACTIONS = 128  # of a session that are shown with it

# Of a session `s`: what it waits for, and whether sessions below it may wait for something, which
# its steps started.
_OPEN_ACTIONS = f"""
  (SELECT coalesce(jsonb_agg(to_jsonb(o) ORDER BY o.created, o.id), '[]') FROM (
     SELECT a.* FROM action a WHERE a.session_id = s.id AND a.status = 'open' AND NOT {_IS_LEFT}
     ORDER BY a.created, a.id LIMIT {_MOST_OPEN_ACTIONS}) o) AS open_actions,
  s.invocation_id IS NOT NULL
    AND EXISTS (SELECT 1 FROM session c WHERE c.parent_session_id = s.id) AS has_children"""

# $1 session: what the sessions below it wait for, which its steps started.
ACTIONS_BELOW = f"""
WITH RECURSIVE below AS (
  SELECT c.id FROM session c WHERE c.parent_session_id = $1
  UNION ALL
  SELECT c.id FROM below b JOIN session c ON c.parent_session_id = b.id
)
SELECT to_jsonb(a) AS action FROM action a
WHERE a.session_id IN (SELECT id FROM below) AND a.status = 'open' AND NOT {_IS_LEFT}
ORDER BY a.created, a.id LIMIT {_MOST_OPEN_ACTIONS}"""

# $1 session: those above it.
ABOVE = """
WITH RECURSIVE above AS (
  SELECT s.parent_session_id AS id FROM session s WHERE s.id = $1
  UNION ALL
  SELECT s.parent_session_id FROM above a JOIN session s ON s.id = a.id
)
SELECT id FROM above WHERE id IS NOT NULL"""

# $1 session, $2 org: as the step looks at it that started it.
CHILD = f"""
SELECT s.flow, s.state, s.task_error AS error,
  s.invocation_id IS NOT NULL
    OR EXISTS (SELECT 1 FROM action a WHERE a.session_id = s.id AND a.status = 'open') AS awaited,
  extract(epoch FROM clock_timestamp() - s.created)::float8 AS seconds,
  (SELECT m.content FROM message m WHERE m.session_id = s.id AND m.role = 'assistant'
    ORDER BY m.idx DESC LIMIT 1) AS answer,
  (SELECT g.output FROM goal g WHERE g.session_id = s.id AND g.output IS NOT NULL
    ORDER BY g.idx DESC LIMIT 1) AS output
FROM session s WHERE s.id = $1 AND s.org_id = $2 AND {NOT_EXPIRED_SQL}"""

# $1 session, $2 org, $3 idempotency key, $4 user: the session, what that key was answered before,
# and whether the user is subscribed to skills.
LOAD = f"""
SELECT s.*, e.request_hash AS known_hash, e.answer AS known_answer, {STORED_KEYS},
  EXISTS (SELECT 1 FROM skill_subscription k WHERE k.user_id = $4 AND k.ai_version IS NOT NULL)
    AS is_subscribed
FROM session s LEFT JOIN event e ON e.session_id = s.id AND e.idempotency_key = $3
WHERE s.id = $1 AND s.org_id = $2 AND {NOT_EXPIRED_SQL}"""

# $1 session, $2 org, $3 the idempotency key that it was opened with.
OPENED = f"""
SELECT e.request_hash, e.answer, s.created
FROM session s JOIN event e ON e.session_id = s.id AND e.idempotency_key = $3
WHERE s.id = $1 AND s.org_id = $2 AND {NOT_EXPIRED_SQL}"""

COMPOSITES = """
SELECT id, path, kind, remaining, cut, input FROM step
WHERE invocation_id = $1 AND kind <> 'leaf' AND status = 'waiting'"""

# $1 parallel or map, $2 bytes that its results may have together; with more, none is given.
RESULTS = """
SELECT path, total, CASE WHEN total <= $2 THEN result END AS result
FROM (
  SELECT path, result, sum(octet_length(result)) OVER () AS total
  FROM step WHERE parent_id = $1 AND status = 'done'
) r"""

# $1 invocation whose steps are calls of tools, $2 bytes that the results may have together: those
# that there are, the first ones if they have more.
CALL_RESULTS = """
SELECT result FROM (
  SELECT id, result, sum(octet_length(result)) OVER (ORDER BY id) AS total
  FROM step
  WHERE invocation_id = $1 AND kind = 'leaf' AND status = 'done' AND result IS NOT NULL
) r
WHERE total <= $2 ORDER BY id"""

# $1 session, $2 org: the answer to a client that polls; with the last message if the last
# transition made it, as the answer to its event had it. What is left of a chain that is done are
# parts that turned out to be empty.
STATUS = f"""
SELECT {_HEAD}, p.total, p.done,
  (SELECT m.content FROM message m WHERE m.session_id = s.id AND m.idx = s.message_count - 1
    AND m.idx >= coalesce((SELECT b.message_count FROM transition b
      WHERE b.session_id = s.id AND b.version = s.version - 1), 0)) AS last_content,
  {_OPEN_ACTIONS}
FROM session s
LEFT JOIN LATERAL (
  SELECT sum(CASE t.kind WHEN 'leaf' THEN 1 WHEN 'chain' THEN t.remaining ELSE 0 END)::int
      AS total,
    sum(CASE t.kind WHEN 'leaf' THEN 1 WHEN 'chain' THEN t.remaining ELSE 0 END)
      FILTER (WHERE t.status = 'done')::int AS done
  FROM step t WHERE t.invocation_id = s.invocation_id
) p ON s.invocation_id IS NOT NULL
WHERE s.id = $1 AND s.org_id = $2 AND {NOT_EXPIRED_SQL}"""

# $1 session, $2 org, $3 index, or null: the session, the step that is making its next message, if
# one is, and goals; the message at the index, if it is the last.
VIEW = f"""
SELECT {_HEAD}, t.id AS step_id, t.attempt, v.id AS running_id,
  v.event AS ending_event, v.created AS entered, {_OPEN_ACTIONS},
  (SELECT json_agg(json_build_object('kind', g.kind, 'data', g.data, 'status', g.status,
      'message_idx', g.message_idx, 'tool_use_id', g.tool_use_id, 'output', g.output,
      'created', g.created, 'concluded_at', g.concluded_at) ORDER BY g.idx)
    FROM goal g WHERE g.session_id = s.id) AS goals,
  m.idx AS said_idx, m.role AS said_role, m.content AS said_content, m.status AS said_status,
  m.created AS said_created, m.created_by AS said_created_by,
  ({usage_sum("u.step_id = m.step_id")}) AS said_usage
FROM session s
LEFT JOIN invocation v ON v.id = s.invocation_id
LEFT JOIN step t ON t.invocation_id = v.id AND t.path = '' AND t.kind = 'leaf'
LEFT JOIN message m ON m.session_id = s.id AND m.idx = $3::bigint AND s.message_count = $3 + 1
WHERE s.id = $1 AND s.org_id = $2 AND {NOT_EXPIRED_SQL}"""

# $1 sessions, $2 seconds: those that changed, or whose invocation went on, within them; or gone.
CHANGED = f"""
SELECT i.id FROM unnest($1::text[], $2::float8[]) AS i(id, age)
LEFT JOIN session s ON s.id = i.id AND {NOT_EXPIRED_SQL}
WHERE s.id IS NULL OR s.modified > clock_timestamp() - i.age * interval '1 second'
  OR EXISTS (SELECT 1 FROM step t WHERE t.invocation_id = s.invocation_id
    AND t.finished_at > clock_timestamp() - i.age * interval '1 second')
  OR EXISTS (SELECT 1 FROM action a WHERE a.session_id = s.id AND a.step_id IS NOT NULL
    AND greatest(a.created, a.resolved_at) > clock_timestamp() - i.age * interval '1 second')"""

# $1 session: the states that it was in, each once, the latest first.
PAST_STATES = """
SELECT target FROM transition WHERE session_id = $1
GROUP BY target ORDER BY max(version) DESC LIMIT 200"""

# $1 session: the state in which a client acted last.
LAST_ACTED = f"""
SELECT source FROM transition
WHERE session_id = $1 AND source IS NOT NULL AND {_CLIENT_ACTED}
ORDER BY version DESC LIMIT 1"""

# $1 session: the version that a client's event made last; a session's start is one.
LAST_CLIENT_EVENT = f"""
SELECT version FROM transition WHERE session_id = $1 AND {_CLIENT_ACTED}
ORDER BY version DESC LIMIT 1"""

# The same of events of clients and timers: a turn begins with either.
LAST_EVENT = f"""
SELECT version FROM transition
WHERE session_id = $1 AND ({_CLIENT_ACTED} OR cause LIKE '{CauseKind.TIMER.prefix}%')
ORDER BY version DESC LIMIT 1"""

# $1 session: the states that it left with an error since a client acted.
FAILED_STATES = f"""
SELECT DISTINCT source FROM transition WHERE session_id = $1 AND source IS NOT NULL
  AND error IS NOT NULL AND version > (
    SELECT coalesce(max(version), 0) FROM transition
    WHERE session_id = $1 AND {_CLIENT_ACTED})"""

# $1 the last id that was looked at, $2 how many: sessions in which no invocation runs, by id.
IDLE = f"""
SELECT s.id, s.org_id, s.flow, s.flow_revision, s.state, s.version, s.invocation_id
FROM session s LEFT JOIN invocation v ON v.id = s.invocation_id AND v.status = 'running'
WHERE s.id > $1 AND v.id IS NULL AND {NOT_EXPIRED_SQL} ORDER BY s.id LIMIT $2"""

# A transition that is the end of a failed invocation which can be retried.
_FAILURE = f"""transition t JOIN invocation v ON v.session_id = t.session_id
  AND v.id = substr(t.cause, {len(CauseKind.INVOCATION.prefix) + 1})
  AND v.status = 'failed' AND v.model IS NOT NULL"""

# $1 session, $2 its version: the failed invocation whose end was the session's last transition.
FAILED_INVOCATION = f"""
SELECT v.id, v.state, v.event, v.input, v.flow_fingerprint, v.model FROM {_FAILURE}
WHERE t.session_id = $1 AND t.version = $2"""

# The condition that a row of `session` has such an invocation; the index is of sessions in error.
LAST_TURN_FAILED = f"""(session.task_error IS NOT NULL AND EXISTS (SELECT 1 FROM {_FAILURE}
  WHERE t.session_id = session.id AND t.version = session.version))"""

# $1 invocation: the leaves that it did not finish, those that failed first.
UNFINISHED_STEPS = """
SELECT path FROM step WHERE invocation_id = $1 AND kind = 'leaf' AND status <> 'done'
ORDER BY status <> 'failed', created, path"""

# Invocations that have run for longer than they may.
OVERDUE = """
SELECT v.org_id, v.session_id, v.id FROM invocation v
WHERE v.status = 'running' AND v.deadline < clock_timestamp() LIMIT 100"""

# $1 action, $2 org: the action, and its session.
ACTION = f"""
SELECT to_jsonb(a) || CASE WHEN a.status = 'open' AND {_IS_LEFT} THEN '{{"status": "cancelled"}}'
  ELSE '{{}}'::jsonb END AS action, {_HEAD}
FROM action a JOIN session s ON s.id = a.session_id
WHERE a.id = $1 AND a.org_id = $2 AND {NOT_EXPIRED_SQL}"""

# Actions whose time is up, of sessions in which nothing runs.
LATE_ACTIONS = """
SELECT a.org_id, a.session_id, a.id FROM action a JOIN session s ON s.id = a.session_id
WHERE a.status = 'open' AND a.deadline < clock_timestamp() AND s.invocation_id IS NULL
ORDER BY a.deadline LIMIT 100"""

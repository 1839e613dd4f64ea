"""The SQL of budgets: what of them is taken, reserved and raised."""

# Whoever reserves waits for who is before: else both would take the same rest.
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"

# Of session $2. A turn begins with what a client sends, but not with results of its tools, with a
# decision, or with a retry.
_PERIODS = """
today AS (SELECT date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS start)
, turn AS (
  SELECT max(version) AS version, max(created) AS start FROM transition
  WHERE session_id = $2 AND cause LIKE 'event:%'
    AND event NOT IN ('submit_results', 'resolve_action', 'retry')
)"""

# $1 org, $2 session, $3 agent, $4 step, $5 whether other sessions count: what was taken and what is
# reserved, by span.
TAKEN = f"""WITH {_PERIODS}
, request AS (
  SELECT u.session_id, u.session_version, u.agent_id, u.created,
    u.input_tokens + u.output_tokens AS tokens, 1 AS steps, u.seconds, u.cost, u.currency,
    0 AS reserved
  FROM model_usage u, today
  WHERE $5::bool AND u.org_id = $1 AND u.created >= today.start AND u.session_id <> $2
  UNION ALL
  SELECT u.session_id, u.session_version, u.agent_id, u.created,
    u.input_tokens + u.output_tokens, 1, u.seconds, u.cost, u.currency, 0
  FROM model_usage u WHERE u.session_id = $2
  UNION ALL
  SELECT r.session_id, r.session_version, r.agent_id, now(), r.tokens, 1, 0, r.cost, NULL, 1
  FROM budget_reservation r
  JOIN step t ON t.id = r.step_id AND t.attempt = r.attempt AND t.status = 'running'
    AND t.lease_until >= clock_timestamp()
  WHERE r.org_id = $1 AND r.step_id <> $4
)
, taken AS (
SELECT s.span, r.reserved, r.currency, sum(r.tokens) AS tokens, sum(r.steps) AS steps,
  sum(r.seconds) AS seconds, sum(r.cost) AS cost
FROM request r, turn, today, LATERAL (VALUES
  ('turn', r.session_id = $2 AND r.session_version >= turn.version),
  ('session', r.session_id = $2),
  ('day', r.created >= today.start AND CASE WHEN $3::text IS NULL THEN r.session_id = $2
    ELSE r.agent_id = $3 END),
  ('account_day', r.created >= today.start)) AS s(span, holds)
WHERE s.holds GROUP BY s.span, r.reserved, r.currency
)
SELECT span, reserved = 1 AS reserved, sum(tokens)::float8 AS tokens, sum(steps)::float8 AS steps,
  sum(seconds)::float8 AS seconds, coalesce(max(cost), 0) AS cost
FROM taken GROUP BY span, reserved"""

# $1 org, $2 session, $3 agent: the raises that hold, each of a limit to another. One of a day holds
# on the day on which it was decided.
RAISES = f"""WITH {_PERIODS}
SELECT a.arguments, a.resolution->'arguments' AS raised
FROM action a JOIN session s ON s.id = a.session_id, turn, today
WHERE a.org_id = $1 AND a.kind = 'budget' AND a.status = 'approved'
  AND a.resolution->'arguments' <> 'null'
  AND CASE a.arguments->>'period'
    WHEN 'turn' THEN a.session_id = $2 AND a.created >= turn.start
    WHEN 'session' THEN a.session_id = $2
    ELSE a.resolved_at >= today.start AND (a.session_id = $2 OR a.arguments->>'scope' = 'account'
      OR a.arguments->>'scope' = 'agent' AND s.agent_id = $3) END"""

# $1 org, $2 Provider: what a token costs at the most; null where it has no prices.
PRICE = """
SELECT 0.000001 * greatest(p.input, p.output) FROM resource r, json_to_record(r.spec->'prices')
  AS p(input numeric, output numeric)
WHERE r.org_id = $1 AND r.kind = 'Provider' AND r.name = $2"""

RESERVE = """
WITH outdated AS (DELETE FROM budget_reservation WHERE step_id = $1 AND attempt < $2)
INSERT INTO budget_reservation (step_id, attempt, org_id, session_id, session_version, agent_id,
  tokens, cost)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (step_id, attempt) DO NOTHING"""

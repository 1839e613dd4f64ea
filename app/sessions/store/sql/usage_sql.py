"""The SQL of what requests to models took."""

# The cost is by the prices of the Provider at this moment; multiplied, since a quotient is rounded.
RECORD = """
WITH settled AS (DELETE FROM budget_reservation WHERE step_id = $1 AND attempt = $2)
INSERT INTO model_usage (step_id, attempt, org_id, session_id, session_version, agent_id, user_id,
  provider, input_tokens, output_tokens, cached_tokens, seconds, cost, currency)
SELECT u.*,
  0.000001 * ((u.input_tokens - u.cached_tokens) * p.input + u.output_tokens * p.output
    + u.cached_tokens * coalesce(p.cached, p.input)),
  p.currency
FROM (SELECT $1::text, $2::int, $3::text AS org_id, $4::text, $5::int, $6::text, $7::text,
    $8::text AS provider, $9::bigint AS input_tokens, $10::bigint AS output_tokens,
    $11::bigint AS cached_tokens, $12::float8) u
LEFT JOIN resource r ON r.org_id = u.org_id AND r.kind = 'Provider' AND r.name = u.provider
LEFT JOIN LATERAL json_to_record(r.spec->'prices')
  AS p(input numeric, output numeric, cached numeric, currency text) ON true
ON CONFLICT (step_id, attempt) DO NOTHING"""

# What model requests took together; nothing where there were none. Costs in two currencies have no
# sum.
_USAGE = """
SELECT json_build_object('requests', sum(c.requests), 'input_tokens', sum(c.input_tokens),
  'output_tokens', sum(c.output_tokens), 'cached_tokens', sum(c.cached_tokens),
  'cost', coalesce(
    json_object_agg(c.currency, c.cost) FILTER (WHERE c.currency IS NOT NULL), '{{}}'))
  AS usage
FROM (
  SELECT count(*) AS requests, sum(u.input_tokens) AS input_tokens,
    sum(u.output_tokens) AS output_tokens, sum(u.cached_tokens) AS cached_tokens, u.currency,
    trim_scale(sum(u.cost))::text AS cost
  FROM model_usage u WHERE {condition} GROUP BY u.currency) c
HAVING count(*) > 0"""


def usage_sum(condition: str) -> str:
    """The query of what the requests took together for which a condition on `u` holds."""
    return _USAGE.format(condition=condition)


# $1 session: what all of its requests took.
SESSION_USAGE = usage_sum("u.session_id = $1")

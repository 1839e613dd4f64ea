"""The SQL that reads messages of sessions."""

from app.sessions.store.sql.usage_sql import usage_sum

MESSAGES = f"""
SELECT m.idx, m.role, m.content, m.status, m.created, m.created_by,
  ({usage_sum("u.step_id = m.step_id")}) AS usage
FROM message m WHERE m.session_id = $1 AND m.idx >= $2 ORDER BY m.idx"""

_TEXT_LENGTH = """
  (SELECT coalesce(sum(length(block->>'text')), 0)
   FROM jsonb_array_elements(m.content) AS block)"""
# With the calls of tools and their results.
_WHOLE_LENGTH = """
  (SELECT coalesce(sum(length(coalesce(block->>'text', block::text))), 0)
   FROM jsonb_array_elements(m.content) AS block)"""

# $1 session, $2 how many, $3 how many characters together, null for any number: whole messages, the
# newest first; read one by one, so that what lies further back costs nothing. The newest and the
# user's newest are there however long they are.
_DIALOGUE = """
WITH RECURSIVE shown AS (
  (SELECT m.idx, m.role, m.content, m.created, 1 AS number, {length} AS characters
   FROM message m WHERE m.session_id = $1 ORDER BY m.idx DESC LIMIT 1)
  UNION ALL
  SELECT m.idx, m.role, m.content, m.created, s.number + 1, s.characters + l.characters
  FROM shown s JOIN message m ON m.session_id = $1 AND m.idx = s.idx - 1
  CROSS JOIN LATERAL (SELECT {length} AS characters) l
  WHERE ($2::int IS NULL OR s.number < $2)
    AND ($3::int IS NULL OR s.characters + l.characters <= $3)
)
, asked AS (
  SELECT m.idx, m.role, m.content, m.created FROM message m
  WHERE m.session_id = $1 AND m.role = 'user' AND m.idx < (SELECT min(idx) FROM shown)
    AND NOT EXISTS (SELECT 1 FROM shown WHERE role = 'user')
    AND ($2::int IS NULL OR m.idx > (SELECT max(idx) FROM shown) - $2)
  ORDER BY m.idx DESC LIMIT 1
)
SELECT role, content, created FROM (
  SELECT idx, role, content, created FROM shown
  UNION ALL SELECT idx, role, content, created FROM asked) h
ORDER BY idx DESC"""
DIALOGUE = _DIALOGUE.format(length=_TEXT_LENGTH)

# The same for a model that calls tools: from the user's newest message on everything is there, so
# that no call of the turn is without its result, and made again. Reasoning is of use in its turn
# alone.
CONVERSATION = f"""
WITH RECURSIVE shown AS (
  (SELECT m.idx, m.role, m.content, 1 AS number, {_WHOLE_LENGTH} AS characters,
    m.role = 'user' AS turn, m.reasoning
   FROM message m WHERE m.session_id = $1 ORDER BY m.idx DESC LIMIT 1)
  UNION ALL
  SELECT m.idx, m.role, m.content, s.number + 1, s.characters + l.characters,
    s.turn OR m.role = 'user', CASE WHEN NOT s.turn THEN m.reasoning END
  FROM shown s JOIN message m ON m.session_id = $1 AND m.idx = s.idx - 1
  CROSS JOIN LATERAL (SELECT {_WHOLE_LENGTH} AS characters) l
  WHERE NOT s.turn OR (s.number < $2 AND s.characters + l.characters <= $3)
)
SELECT role, content, reasoning FROM shown ORDER BY idx DESC"""

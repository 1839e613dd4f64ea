"""The SQL that reads messages of sessions."""

from app.sessions.store.sql.usage_sql import usage_sum

_MESSAGE = "m.idx, m.role, m.content, m.status, m.created, m.created_by, m.step_id"

# $1 session, $2 index, $3 bytes, $4 index of the last: whole messages from the index on, as far as
# their contents together have no more bytes, but the first in any case; read one by one, so that
# no more is read. Each by its key: LIMIT keeps the server from joining with the whole dialogue.
MESSAGES = f"""
WITH RECURSIVE page AS (
  (SELECT {_MESSAGE}, octet_length(m.content::text)::bigint AS bytes
   FROM message m WHERE m.session_id = $1 AND m.idx >= $2 ORDER BY m.idx LIMIT 1)
  UNION ALL
  SELECT {_MESSAGE}, p.bytes + m.bytes
  FROM page p CROSS JOIN LATERAL (
    SELECT {_MESSAGE}, octet_length(m.content::text) AS bytes
    FROM message m WHERE m.session_id = $1 AND m.idx = p.idx + 1 LIMIT 1) m
  WHERE p.idx < $4 AND p.bytes + m.bytes <= $3
)
SELECT m.idx, m.role, m.content, m.status, m.created, m.created_by,
  ({usage_sum("u.step_id = m.step_id")}) AS usage
FROM page m ORDER BY m.idx"""

# $1 session, $2 ids of calls: the messages with these calls or their results.
CALLS = """
SELECT m.content FROM message m WHERE m.session_id = $1 AND EXISTS (
  SELECT FROM unnest($2::text[]) AS id
  WHERE m.content @> jsonb_build_array(jsonb_build_object('tool_use_id', id)))
ORDER BY m.idx"""

# $1 session: the last message that is neither the user's own nor a tool's result.
LAST_ANSWER = """
SELECT m.content FROM message m WHERE m.session_id = $1 AND m.role NOT IN ('user', 'roboto')
ORDER BY m.idx DESC LIMIT 1"""

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
  SELECT m.idx, m.role, m.content, m.created, s.number + 1, s.characters + m.characters
  FROM shown s CROSS JOIN LATERAL (
    SELECT m.idx, m.role, m.content, m.created, {length} AS characters
    FROM message m WHERE m.session_id = $1 AND m.idx = s.idx - 1 LIMIT 1) m
  WHERE ($2::int IS NULL OR s.number < $2)
    AND ($3::int IS NULL OR s.characters + m.characters <= $3)
)
, newest_question AS (
  SELECT m.idx, m.role, m.content, m.created FROM message m
  WHERE m.session_id = $1 AND m.role = 'user' AND m.idx < (SELECT min(idx) FROM shown)
    AND NOT EXISTS (SELECT 1 FROM shown WHERE role = 'user')
    AND ($2::int IS NULL OR m.idx > (SELECT max(idx) FROM shown) - $2)
  ORDER BY m.idx DESC LIMIT 1
)
SELECT role, content, created FROM (
  SELECT idx, role, content, created FROM shown
  UNION ALL SELECT idx, role, content, created FROM newest_question) h
ORDER BY idx DESC"""
DIALOGUE = _DIALOGUE.format(length=_TEXT_LENGTH)

# The same for a model that calls tools: from the user's newest message on everything is there, so
# that no call of the turn is without its result, and made again. What is cut begins with a user's
# message, as servers want it. Reasoning is of use in its turn alone.
CONVERSATION = f"""
WITH RECURSIVE shown AS (
  (SELECT m.idx, m.role, m.content, 1 AS number, {_WHOLE_LENGTH} AS characters,
    m.role = 'user' AS turn, m.reasoning
   FROM message m WHERE m.session_id = $1 ORDER BY m.idx DESC LIMIT 1)
  UNION ALL
  SELECT m.idx, m.role, m.content, s.number + 1, s.characters + m.characters,
    s.turn OR m.role = 'user', CASE WHEN NOT s.turn THEN m.reasoning END
  FROM shown s CROSS JOIN LATERAL (
    SELECT m.idx, m.role, m.content, m.reasoning, {_WHOLE_LENGTH} AS characters
    FROM message m WHERE m.session_id = $1 AND m.idx = s.idx - 1 LIMIT 1) m
  WHERE (NOT s.turn OR s.number < $2) AND (NOT s.turn OR s.characters + m.characters <= $3)
)
SELECT role, content, reasoning FROM shown
WHERE idx >= (
  SELECT CASE WHEN min(idx) = 0 THEN 0 ELSE min(idx) FILTER (WHERE role = 'user') END FROM shown)
ORDER BY idx DESC"""

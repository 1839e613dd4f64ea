"""The statements that delete sessions that are over: each of them a bounded piece.

A long session has thousands of messages and steps, which one statement would take too long for. So
its parts go first, a piece at a time, and the row of the session last. Whoever is stopped in
between has deleted what it has; the next round goes on with the rest.
"""

from app.sessions.visibility import EXPIRED_SQL, EXPIRY_SQL, OUTLIVES_SQL

# $1 how many sessions are looked at, those that were over first.
_OVER = f"""(
  SELECT s.id, {EXPIRY_SQL} FROM session s WHERE {EXPIRED_SQL} ORDER BY {EXPIRY_SQL} LIMIT $1) s"""

# What steps of a session started is over with it.
EXPIRE_CHILDREN = f"""
UPDATE session c SET expires_at = {EXPIRY_SQL} FROM {_OVER}
WHERE c.parent_session_id = s.id AND {OUTLIVES_SQL}
RETURNING c.id"""

# $2 how many rows, $3 how many bytes of them, as they are stored; of what is larger one. By their
# places: with keys the server may join all rows, where many sessions were over at once.
_PIECE = f"""
DELETE FROM {{table}} WHERE ctid = ANY(ARRAY(
  SELECT place FROM (
    SELECT place, sum(size) OVER (ROWS UNBOUNDED PRECEDING) - size AS before FROM (
      SELECT t.ctid AS place, {{size}} AS size FROM {_OVER} JOIN {{table}} t ON t.session_id = s.id
      LIMIT $2 FOR UPDATE OF t SKIP LOCKED) piece) sized
  WHERE before < $3))
RETURNING 1"""

# Steps before their invocations: with these they would go in one statement.
_PARTS = {
    "message": ["content"],
    "step": ["input", "result"],
    "invocation": ["model", "input"],
    "event": ["input", "answer"],
    "session_value": ["payload"],
    "transition": [],
}


def _piece(table: str, large: list[str]) -> str:
    sizes = ["100", *(f"coalesce(pg_column_size(t.{column}), 0)" for column in large)]
    return _PIECE.format(table=table, size=" + ".join(sizes))


EXPIRE_PARTS = [_piece(table, large) for table, large in _PARTS.items()]

# $1 how many; those of which there are still such parts are left for another round. The parts are
# looked up for one session after the other: of NOT EXISTS, while the statistics are old, the
# server may make joins of all sessions with all messages.
EXPIRE = f"""
DELETE FROM session WHERE id = ANY(ARRAY(
  SELECT s.id FROM session s WHERE {EXPIRED_SQL}
    AND (SELECT c.id FROM session c WHERE c.parent_session_id = s.id LIMIT 1) IS NULL
    AND (SELECT t.id FROM step t WHERE t.session_id = s.id LIMIT 1) IS NULL
    AND (SELECT m.session_id FROM message m WHERE m.session_id = s.id LIMIT 1) IS NULL
  ORDER BY {EXPIRY_SQL} LIMIT $1 FOR UPDATE SKIP LOCKED))
RETURNING id"""

# $1 a session, $2 how many rows: whether it, with what its steps started, has more of them.
IS_LONG = """
WITH RECURSIVE tree AS (
  SELECT $1::text AS id
  UNION ALL SELECT c.id FROM tree JOIN session c ON c.parent_session_id = tree.id)
SELECT count(*) > $2 FROM (
  SELECT 1 FROM tree JOIN LATERAL (
    SELECT 1 FROM message m WHERE m.session_id = tree.id
    UNION ALL SELECT 1 FROM step t WHERE t.session_id = tree.id
    UNION ALL SELECT 1 FROM invocation i WHERE i.session_id = tree.id
    UNION ALL SELECT 1 FROM event e WHERE e.session_id = tree.id
    UNION ALL SELECT 1) part ON true
  LIMIT $2 + 1) rows"""

# $1 a session: it is over now, and so is what its steps started.
END = """
WITH RECURSIVE tree AS (
  SELECT $1::text AS id
  UNION ALL SELECT c.id FROM tree JOIN session c ON c.parent_session_id = tree.id)
UPDATE session s SET expires_at = clock_timestamp() FROM tree WHERE s.id = tree.id"""

"""Sessions of any length are deleted in statements of bounded length."""

from app.db.engine import Database
from app.sessions.store.store import SessionStore

_FILL = """
WITH made AS (
  INSERT INTO session (id, org_id, flow, state, model, created_by, message_count, expires_at,
    flow_revision, version, visibility)
  SELECT 'ath_' || n, 'org_a', 'chat', 'user_turn', '', 'ann', $1::int,
    clock_timestamp() + CASE n WHEN 0 THEN 1 ELSE -1 END * interval '1 hour', 0, 1, 'private'
  FROM generate_series(0, 2) n RETURNING id)
INSERT INTO message (session_id, idx, org_id, role, content, status)
SELECT id, i, 'org_a', 'user', '[]', 'completed' FROM made, generate_series(0, $1 - 1) i"""


async def test_the_messages_of_what_is_over_go_in_batches(database: Database) -> None:
    await database.pool.execute("INSERT INTO org (id, name) VALUES ('org_a', 'Acme')")
    await database.pool.execute(_FILL, 300)
    store = SessionStore(database.pool)
    deleted = [await store.expire_messages(250) for _ in range(4)]
    assert deleted == [250, 250, 100, 0]
    assert await store.expire(100) == 2
    left = await database.pool.fetch("SELECT session_id, count(*) FROM message GROUP BY 1")
    assert [tuple(row) for row in left] == [("ath_0", 300)]

"""Sessions of any length are deleted in statements of bounded length."""

import httpx

from app.db.engine import Database
from app.sessions.deletion import LONG
from app.sessions.store.store import SessionStore
from tests.support.manifests import post
from tests.support.threads import start

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
    deleted = [await store.expire_parts(9, rows=250, size=10**9) for _ in range(4)]
    assert deleted == [250, 250, 100, 0]
    assert await store.expire(100) == 2
    left = await database.pool.fetch("SELECT session_id, count(*) FROM message GROUP BY 1")
    assert [tuple(row) for row in left] == [("ath_0", 300)]


_LONG = """
WITH started AS (
  INSERT INTO invocation (id, org_id, session_id, version, state, event, input, status)
  SELECT 'inv_' || i, org_id, id, i, state, 'x', '', 'done' FROM session, generate_series(1, 2) i
  WHERE id = $1 RETURNING id, org_id, session_id)
INSERT INTO step (id, invocation_id, session_id, org_id, path, kind, status, queue, attempt,
  max_attempts, remaining, input, result)
SELECT id || '/' || i, id, session_id, org_id, i::text, 'leaf', 'done', 'default', 1, 1, 0, '{}',
  CASE WHEN i <= $3 THEN (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 4000) n)
  ELSE 'x' END
FROM started, generate_series(1, $2) i"""


async def test_steps_of_what_is_over_go_in_pieces_of_bytes(database: Database) -> None:
    """Steps of one session, with their results, went with its row in one statement."""
    await database.pool.execute("INSERT INTO org (id, name) VALUES ('org_a', 'Acme')")
    await database.pool.execute(_FILL, 0)
    await database.pool.execute(_LONG, "ath_1", 20, 6)
    store = SessionStore(database.pool)
    assert await store.expire(100) == 1  # not the one that has steps
    deleted = []
    while piece := await store.expire_parts(9, rows=15, size=300_000):
        deleted.append(piece)
    assert sum(deleted) == 2 * 20 + 2
    assert max(deleted) <= 15
    assert 3 in deleted  # results of 128 KB
    assert await store.expire(100) == 1


async def test_a_long_session_that_is_deleted_is_gone_at_once_and_deleted_in_pieces(
    client: httpx.AsyncClient, database: Database
) -> None:
    thread = await start(client, "Hello")
    thread_id, url = thread["thread_id"], f"/v1/ai/threads/{thread['thread_id']}"
    await database.pool.execute(_LONG, thread_id, LONG, 0)
    child = (await start(client, "Hello"))["thread_id"]
    await database.pool.execute(
        "UPDATE session SET parent_session_id = $1 WHERE id = $2", thread_id, child
    )

    await post(client, "delete/Session", name=thread_id)

    assert (await client.get(url)).status_code == 404
    assert (await client.get(f"/v1/ai/threads/{child}")).status_code == 404
    assert await database.pool.fetchval("SELECT count(*) FROM step") > LONG
    store = SessionStore(database.pool)
    while piece := await store.expire_parts(9, rows=500, size=10**9):
        assert piece <= 500
    assert [await store.expire(9) for _ in range(3)] == [1, 1, 0]
    assert await database.pool.fetchval("SELECT count(*) FROM session") == 0

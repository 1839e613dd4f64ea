"""Looking for a text costs about the same, whatever it is and however many threads there are."""

from typing import Any

import httpx
import pytest
from sqlalchemy import text as sql
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access.caller import Caller, KeyScope
from app.db.engine import Database
from app.threads.search import SearchThreadsRequest, search_threads
from tests.support.threads import THREADS, data

SESSIONS = 6_000
MOST_READ = 4_600  # messages, of as many as there are threads

_FILL = """
WITH made AS (
  INSERT INTO session (id, org_id, flow, state, model, created, created_by, visibility, modified,
    flow_revision, version, message_count, title)
  SELECT 'ath_' || lpad(n::text, 8, '0'), 'org_a', 'chat', 'user_turn', '', t, u, v, t, 0, 2, 2,
    'Talk ' || n
  FROM generate_series(1, $1::int) n,
    LATERAL (SELECT timestamptz '2026-01-01' + n * interval '1 minute' AS t,
      CASE WHEN n % 1000 = 7 THEN 'ann' ELSE 'bob' END AS u, 'private' AS v) x
  RETURNING id, org_id)
INSERT INTO message (session_id, idx, org_id, role, content, status)
SELECT id, 0, org_id, 'user', jsonb_build_array(jsonb_build_object('text', 'Words ' || id
    || CASE WHEN id < 'ath_00002000' THEN ' ancient' ELSE '' END
    || CASE WHEN id = 'ath_00000007' THEN ' zq "quoted\\path" 100% 日本語テスト' || E'\nnew'
       ELSE '' END)), 'completed'
FROM made"""


@pytest.fixture
async def filled(database: Database) -> Database:
    """An org with many threads, nearly all of them private ones of Bob."""
    await database.pool.execute("INSERT INTO org (id, name) VALUES ('org_a', 'Acme')")
    await database.pool.execute(_FILL, SESSIONS)
    await database.pool.execute("ANALYZE session, message")
    return database


def caller(user: str, *scopes: KeyScope) -> Caller:
    return Caller("org_a", user, f"{user}@acme.example", "key", frozenset(scopes))


async def rows_read(db: AsyncSession, table: str) -> int:
    """How many rows of a table this connection has read of late."""
    query = """SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::int
        FROM pg_stat_xact_user_tables WHERE relname = :name"""
    found = await (await db.connection()).execute(sql(query), {"name": table})
    number: int = found.scalar_one()
    return number


async def found(
    database: Database, who: Caller, text: str | None, token: str | None = None
) -> tuple[list[str], str | None, int]:
    """A page of ids, the token of the next, and how many rows were read for it."""
    table = "session" if text is None else "message"
    request = SearchThreadsRequest(text=text, page_token=token, limit=200)
    async with database.listing("org_a") as db:
        before = await rows_read(db, table)
        items, after = await search_threads(db, who, request)
        reads = await rows_read(db, table) - before
    return [item.thread_id for item in items], after, reads


async def found_on_all_pages(database: Database, who: Caller, text: str) -> tuple[list[str], int]:
    """All ids, and the most messages that were read for a page."""
    ids, token, most = await found(database, who, text)
    while token is not None:
        more, token, reads = await found(database, who, text, token)
        ids, most = ids + more, max(most, reads)
    return ids, most


async def test_no_text_makes_a_search_read_all_messages(filled: Database) -> None:
    admin = caller("eve", KeyScope.ADMIN)
    oldest = [f"ath_{n:08}" for n in range(1, 2000)][::-1]
    newest = [f"ath_{n:08}" for n in range(1, SESSIONS + 1)][::-1]
    expected: dict[str, list[str]] = {
        "no such text": [],
        "ZQ": ["ath_00000007"],  # too short for the index
        "ath_00000007": ["ath_00000007"],
        'Quoted\\path" 100%': ["ath_00000007"],
        "日本語": ["ath_00000007"],
        "100%_": [],
        "npath": [],  # as escaped, a new line and a backslash are letters
        "nnew": [],
        "ancient": oldest,  # more than the index gives, behind all that is looked into first
        "talk 4": [one for one in newest if one.lstrip("ath_0").startswith("4")],
        "words": newest,
    }
    read = {}
    for text, ids in expected.items():
        pages, read[text] = await found_on_all_pages(filled, admin, text)
        assert pages == ids, text
    assert max(read.values()) < MOST_READ, read


async def test_what_is_found_but_private_costs_who_may_not_see_it_nothing(filled: Database) -> None:
    ann = caller("ann", KeyScope.READ)
    own = [f"ath_{n:08}" for n in range(7, SESSIONS, 1000)][::-1]
    for text, ids in (("words", own), ("ancient", own[-2:]), ("zq", own[-1:]), (None, own)):
        page, token, reads = await found(filled, ann, text)
        assert (page, token) == (ids, None), text
        assert reads < (MOST_READ if text else 100), text


async def test_a_search_of_one_s_own_threads_over_http(client: httpx.AsyncClient) -> None:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": [{"text": 'Say "x\\y"\nZ'}]}]}
    started = data(await client.post(THREADS, json=body), 201)
    for text, number in (('"X\\Y"', 1), ('x\\y"\nz', 1), ("ny", 0), ("say", 1), ("%", 0)):
        items = data(await client.post(f"{THREADS}/search", json={"text": text}))["items"]
        assert [item["thread_id"] for item in items] == [started["thread_id"]] * number, text

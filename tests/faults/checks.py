"""What must be true of every session once all is quiet, whatever was killed before."""

from collections.abc import Iterable
from typing import Any

import orjson

from tests.faults.load import Client, Conversation
from tests.faults.system import System, until

_OPEN = """
SELECT s.id, s.state, s.version, v.status AS invocation, t.status AS step, t.attempt, t.error
FROM session s LEFT JOIN invocation v ON v.session_id = s.id AND v.status = 'running'
LEFT JOIN step t ON t.session_id = s.id AND t.status IN ('waiting', 'queued', 'running')
WHERE s.state <> 'user_turn' OR s.invocation_id IS NOT NULL OR v.id IS NOT NULL
  OR t.id IS NOT NULL"""

# A step that failed, and was resumed, has what was said of its failure beside its answer.
_NOT_RESUMED = """NOT EXISTS (
  SELECT FROM event e WHERE e.session_id = m.session_id AND e.name = 'retry')"""

# Each gives the rows that must not be.
FAULTS = {
    "a gap in the transitions": """
        SELECT s.id, s.version, count(t.version), min(t.version), max(t.version)
        FROM session s LEFT JOIN transition t ON t.session_id = s.id GROUP BY s.id
        HAVING count(t.version) <> s.version OR min(t.version) <> 1
          OR max(t.version) <> s.version""",
    "a cause that was applied twice": """
        SELECT session_id, cause, count(*) FROM transition GROUP BY session_id, cause
        HAVING count(*) > 1""",
    "an event or an invocation that was applied not once": """
        SELECT c.session_id, c.cause, count(t.cause)
        FROM (SELECT session_id, 'event:' || id AS cause FROM event
          UNION ALL SELECT session_id, 'invocation:' || id FROM invocation) c
        LEFT JOIN transition t ON t.session_id = c.session_id AND t.cause = c.cause
        GROUP BY c.session_id, c.cause HAVING count(t.cause) <> 1""",
    "a gap in the dialogue": """
        SELECT s.id, s.message_count, count(m.idx), max(m.idx)
        FROM session s LEFT JOIN message m ON m.session_id = s.id GROUP BY s.id
        HAVING count(m.idx) <> s.message_count OR max(m.idx) <> s.message_count - 1""",
    "an answer of an attempt that had lost its step": f"""
        SELECT m.session_id, m.idx, m.attempt, t.attempt, t.status
        FROM message m JOIN step t ON t.id = m.step_id
        WHERE m.attempt <> t.attempt AND {_NOT_RESUMED}""",
    "a step that answered twice": f"""
        SELECT step_id, count(*) FROM message m
        WHERE step_id IS NOT NULL AND {_NOT_RESUMED} GROUP BY step_id HAVING count(*) > 1""",
}

_MESSAGES = "SELECT role, content FROM message WHERE session_id = $1 ORDER BY idx"


def echo_of(text: str) -> str:
    return f"[echo model] You said: {text}"


def texts(messages: Iterable[Any]) -> list[tuple[str, str]]:
    """(role, text) of messages as the API or the database gives them."""
    return [(m["role"], "".join(b.get("text", "") for b in m["content"])) for m in messages]


async def check_all(system: System, client: Client, conversations: Iterable[Conversation]) -> None:
    """Nothing lost, nothing twice, nothing stuck: in the database and over HTTP."""
    await check_database(system)
    for conversation in conversations:
        thread_id = conversation.thread_id
        expected = []
        for text in conversation.said:
            expected += [("user", text), ("assistant", echo_of(text))]
        stored = await system.query(_MESSAGES, thread_id)
        assert texts(_decoded(stored)) == expected, f"in the database: {thread_id}"
        thread = await client.data("GET", f"/{thread_id}")
        assert thread["status"] == "user_turn"
        assert texts(thread["messages"]) == expected, f"over HTTP: {thread_id}"
        assert all(m["status"] == "completed" for m in thread["messages"])


async def check_database(system: System) -> None:
    """Wait until no session of any test has anything to do; then look for faults."""
    still_open: list[Any] = []

    async def is_quiet() -> bool:
        still_open[:] = await system.query(_OPEN)
        return not still_open

    try:
        await until(is_quiet, what="all sessions come to rest")
    except AssertionError as error:
        raise AssertionError(f"stuck: {still_open}") from error
    for fault, sql in FAULTS.items():
        rows = await system.query(sql)
        assert not rows, f"{fault}: {rows}"


def _decoded(rows: list[Any]) -> list[dict[str, Any]]:
    return [{"role": row["role"], "content": orjson.loads(row["content"])} for row in rows]

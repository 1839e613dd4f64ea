"""A thread of any length is answered in pieces that the published client puts together."""

import httpx
import pytest
from fastapi import FastAPI

from app.db.engine import Database
from app.settings import Settings
from app.settings.http import ListSettings
from tests.support.threads import THREADS, Reader, data, said, start, texts

PAGE = 20_000
SIZE = 6_000  # of a message, in bytes
MESSAGES = 20


@pytest.fixture
def api(api: FastAPI, settings: Settings) -> FastAPI:
    limits = ListSettings(page_bytes=PAGE, fork_bytes=PAGE * 2)
    api.state.settings = settings.model_copy(update={"lists": limits})
    return api


_FILL = """
WITH filled AS (
  UPDATE session SET message_count = $2, state = 'user_turn', invocation_id = NULL
  WHERE id = $1 RETURNING id, org_id)
INSERT INTO message (session_id, idx, org_id, role, content, status)
SELECT f.id, n, f.org_id, 'assistant', jsonb_build_array(jsonb_build_object(
    'content_type', 'text', 'text', n || '.' || repeat('x', size))), 'completed'
FROM filled f, generate_series(2, $2::int - 1) n,
  LATERAL (SELECT CASE n WHEN $2 - 2 THEN $4::int ELSE $3::int END AS size) l"""


@pytest.fixture
async def thread_id(client: httpx.AsyncClient, database: Database) -> str:
    """A thread with more messages than one answer holds; the last but one is more by itself."""
    thread_id: str = (await start(client, "0.", said("1.", "assistant")))["thread_id"]
    await database.pool.execute(_FILL, thread_id, MESSAGES, SIZE, PAGE * 2)
    return thread_id


async def test_no_answer_holds_more_than_a_page(client: httpx.AsyncClient, thread_id: str) -> None:
    answer = await client.get(f"{THREADS}/{thread_id}")
    record = data(answer)
    assert len(answer.content) < PAGE * 1.2
    assert record["status"] == "roboto_turn"  # clients read on then
    assert record["goals"] is None

    reader = Reader(client, thread_id, record["messages"], record["continuation_token"])
    while len(reader.messages) < MESSAGES:
        delta = await reader.poll()
        whole = len(reader.messages) == MESSAGES
        assert delta["status"] == ("user_turn" if whole else "roboto_turn")
        assert delta["goals"] == ([] if whole else None)
        pieces = delta["messages_by_idx"].values()
        assert len(pieces) == 1 or len(str(pieces)) < PAGE * 1.2
    numbers = [int(text.partition(".")[0]) for text in texts({"messages": reader.messages})]
    assert numbers == list(range(MESSAGES))
    last = await reader.poll()
    assert (last["messages_by_idx"], last["status"]) == ({}, None)


async def test_the_record_without_messages_says_the_status_as_it_is(
    client: httpx.AsyncClient, thread_id: str
) -> None:
    params = {"load_messages": False}
    record = data(await client.get(f"{THREADS}/{thread_id}", params=params))
    assert (record["status"], record["messages"]) == ("user_turn", [])


async def test_what_is_too_much_to_copy_is_not_forked(
    client: httpx.AsyncClient, thread_id: str
) -> None:
    url = f"{THREADS}/{thread_id}/fork"
    refused = await client.post(url, json={"message_sequence_num": MESSAGES - 1})
    assert refused.status_code == 400
    assert "40,000 bytes" in refused.json()["detail"]
    forked = data(await client.post(url, json={"message_sequence_num": 3}), 201)
    assert forked["forked_from_message_sequence_num"] == 3

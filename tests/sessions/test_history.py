"""How far back templates are shown a dialogue: bounded by messages, and by characters."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.db.engine import Database
from app.sessions.store.store import SessionStore
from app.sessions.turn.history import recent
from app.settings import LlmSettings, Settings
from tests.manifests.test_connections import apply, product, prompt
from tests.support.openai_server import OpenAiServer, Reply
from tests.support.providers import load_provider
from tests.support.threads import Reader, answered, read, said, send, settled, start, texts

LARGE = 999_000  # characters of a message, as many as a block of text about may have


@pytest.fixture
async def model() -> AsyncIterator[OpenAiServer]:
    load_provider("openai")
    async with OpenAiServer(Reply(text="Read.")) as server:
        yield server


@pytest.fixture
def settings(settings: Settings, model: OpenAiServer) -> Settings:
    settings.llm = LlmSettings(provider="openai", base_url=model.base_url, model="m")
    return settings


def sent(model: OpenAiServer) -> list[str]:
    """The texts of the last request."""
    return [message["content"] for message in model.requests[-1].body["messages"]]


async def test_three_large_messages_do_not_brick_a_thread(
    client: httpx.AsyncClient, worker: None, model: OpenAiServer
) -> None:
    large = [letter * LARGE for letter in "abc"]
    thread_id = (await answered(client, large[0]))["thread_id"]
    for text in [*large[1:], "And now?"]:
        await send(client, thread_id, text)
        thread = await settled(client, thread_id)
        assert [m["status"] for m in thread["messages"]] == ["completed"] * len(thread["messages"])
        assert sent(model)[-1] == text
    assert sent(model) == ["And now?"]
    assert texts(thread)[-1] == "Read."


@pytest.mark.parametrize(
    ("most", "shown"),
    [(2, ["Three"]), (4, ["Two", "Read.", "Three"]), (6, None)],
)
@pytest.mark.usefixtures("worker")
async def test_what_a_model_is_shown_begins_with_what_a_user_said(
    client: httpx.AsyncClient,
    settings: Settings,
    model: OpenAiServer,
    most: int,
    shown: list[str] | None,
) -> None:
    settings.session.history_messages = most
    seeds = [said("Hello.", "assistant"), said("One")]
    thread_id = (await answered(client, *seeds))["thread_id"]
    assert sent(model)[-1] == "One"
    for text in ("Two", "Three"):
        await send(client, thread_id, text)
        await settled(client, thread_id)
    assert sent(model) == (shown or ["Hello.", "One", "Read.", "Two", "Read.", "Three"])


async def test_a_message_that_no_model_is_sent_fails_its_own_turn_only(
    client: httpx.AsyncClient, worker: None, model: OpenAiServer
) -> None:
    blocks = {"role": "user", "content": [{"text": "x" * 900_000}] * 5}
    thread = await answered(client, blocks)
    assert "longer than 4,000,000 characters" in json.dumps(thread["messages"][-1])
    assert model.requests == []
    await send(client, thread["thread_id"], "Shorter")
    assert texts(await settled(client, thread["thread_id"]))[-1] == "Read."
    assert sent(model) == ["Shorter"]


@pytest.mark.slow
async def test_large_messages_brick_no_thread_of_any_flow(
    client: httpx.AsyncClient, worker: None, model: OpenAiServer
) -> None:
    """Emoji are ten characters each in what a model is sent, so they may be too many for a turn."""
    await apply(client, *product({"invoke": "llm", "template": "{{ chat_history }}"}))
    assert (await prompt(client, "a" * LARGE)).status_code == 413
    for letter, flow in (("a", True), ("\N{BUTTERFLY}", True), ("\N{BUTTERFLY}", False)):
        if flow:
            prompted = await prompt(client, letter * 60_000)
            thread_id = prompted.json()["data"]["session_id"]
            assert prompted.json()["data"]["response"] == "Read.", prompted.text
        else:
            thread_id = (await answered(client, letter * 60_000))["thread_id"]
        for text in [letter * LARGE] * 3:
            await send(client, thread_id, text)
            await Reader(client, thread_id).follow("waiting" if flow else "user_turn")
        await send(client, thread_id, "And now?")
        await Reader(client, thread_id).follow("waiting" if flow else "user_turn")
        thread = await read(client, thread_id)
        assert texts(thread)[-1] == "Read.", (letter, flow)
        assert sent(model)[-1].endswith("And now?")
        assert sum(map(len, sent(model))) < LARGE


DIALOGUES: list[tuple[list[tuple[str, int]], int | None, int]] = [
    ([], None, 10),
    ([("user", 5), ("assistant", 5), ("user", 5)], None, 10),
    ([("user", 5), ("assistant", 5), ("user", 5)], None, 15),
    ([("user", 5), ("assistant", 5), ("user", 5)], 2, 15),
    ([("user", 5), ("assistant", 1), ("user", 50)], None, 10),
    ([("user", 50), ("assistant", 5), ("assistant", 50)], None, 10),
    ([("user", 50), ("assistant", 6), ("assistant", 6)], None, 10),
    ([("user", 50), ("assistant", 6), ("assistant", 6)], 2, 10),
    ([("assistant", 6)] * 4, None, 12),
]


async def test_sql_and_memory_agree(
    client: httpx.AsyncClient, database: Database, settings: Settings
) -> None:
    store = SessionStore(database.pool)
    for sizes, limit, characters in DIALOGUES:
        dialogue = [(role, chr(97 + n) * size) for n, (role, size) in enumerate(sizes)]
        seeded = [said(text, role) for role, text in [*dialogue, ("assistant", "last")]]
        thread_id = (await start(client, *seeded))["thread_id"]
        whole = [*dialogue, ("assistant", "last")]
        kept = await store.dialogue(thread_id, limit, characters)
        said_ = [(element.role, element.text) for element in kept]
        assert said_ == recent(whole, limit, characters), (sizes, limit, characters)


@given(
    st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.text("a", min_size=1))),
    st.none() | st.integers(1, 10),
    st.integers(1, 20),
)
def test_what_is_shown_is_the_newest_and_the_question(
    dialogue: list[tuple[str, str]], limit: int | None, characters: int
) -> None:
    shown = recent(dialogue, limit, characters)
    counted = dialogue[-limit if limit else None :]
    assert shown[-1:] == dialogue[-1:]
    assert [m for m in shown if m[0] == "user"][-1:] == [m for m in counted if m[0] == "user"][-1:]
    fit = [
        n for n in range(1, len(counted) + 1) if sum(len(t) for _, t in counted[-n:]) <= characters
    ]
    most = counted[-max(fit) :] if fit else []
    assert len(shown) <= max(len(most), 1) + 1
    assert shown[len(shown) - len(most) :] == most

"""Following a thread by deltas: only what is new, and put together always the transcript."""

import asyncio
import random
import time

import httpx
import pytest
from redis.asyncio import Redis

from app.kit.paging import encode_token
from app.settings import LlmSettings, Settings
from tests.support.threads import THREADS, Reader, read, said, send, settled, start, transcript


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The model pauses before each further word, so that it can be seen at work."""
    settings.llm = LlmSettings(echo_delay_seconds=0.02)
    return settings


async def test_a_message_shows_up_while_it_is_made_and_grows_by_what_is_new(
    client: httpx.AsyncClient, worker: None
) -> None:
    words = " ".join(f"word{n}" for n in range(20))
    thread = await start(client, words)
    reader = Reader(client, thread["thread_id"], thread["messages"], thread["continuation_token"])

    await reader.follow()

    seen = [d["messages_by_idx"]["1"] for d in reader.deltas if "1" in d["messages_by_idx"]]
    *growing, last = seen
    assert len(growing) > 2
    assert {m["status"] for m in growing} == {"generating"}
    assert last["status"] == "completed"
    pieces = [block["text"] for message in seen for block in message["content"]]
    assert "".join(pieces) == f"[echo model] You said: {words}"
    assert all(d["reset_from_message_sequence_num"] is None for d in reader.deltas)
    assert [d["status"] for d in reader.deltas[:-1]] == [None] * (len(reader.deltas) - 1)
    assert reader.deltas[-1]["status"] == "user_turn"


async def test_nothing_new_is_an_empty_delta(client: httpx.AsyncClient, worker: None) -> None:
    thread = await settled(client, (await start(client, "Hi"))["thread_id"])
    reader = Reader(client, thread["thread_id"], (), thread["continuation_token"])

    delta = await reader.poll()

    assert delta == {
        "messages_by_idx": {},
        "continuation_token": thread["continuation_token"],
        "reset_from_message_sequence_num": None,
        "status": None,
        "title": None,
        "activity": None,
        "goals": None,
        "required_actions": None,
    }


async def test_wait_holds_and_comes_back_at_once(client: httpx.AsyncClient, worker: None) -> None:
    thread = await settled(client, (await start(client, "Hi"))["thread_id"])
    reader = Reader(client, thread["thread_id"], thread["messages"], thread["continuation_token"])
    began = time.monotonic()
    await reader.poll(wait=0.4)
    assert time.monotonic() - began >= 0.4

    heard = []
    for number in range(3):
        waiting = asyncio.create_task(reader.poll(wait=30))
        await asyncio.sleep(0)
        sent = time.monotonic()
        await send(client, thread["thread_id"], f"Now {number}")
        assert (await waiting)["status"] in ("roboto_turn", "user_turn")
        heard.append(time.monotonic() - sent)
        latest = await settled(client, thread["thread_id"])
        reader = Reader(
            client, thread["thread_id"], latest["messages"], latest["continuation_token"]
        )

    assert min(heard) < 0.45  # sooner than it polls: the wake-up was heard


@pytest.mark.parametrize("wait", ["-1", "31", "x", "nan", "inf"])
async def test_wait_has_bounds(client: httpx.AsyncClient, wait: str) -> None:
    thread = await start(client, "Hi")

    answer = await client.get(f"{THREADS}/{thread['thread_id']}/delta", params={"wait": wait})

    assert answer.status_code == 400


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "é",
        "[]",
        encode_token(),
        encode_token("1"),
        encode_token("1", "2", "3"),
        encode_token("1", "x", "0", ""),
        encode_token("1", "-1", "0", ""),
        encode_token(str(2**31), "0", "0", ""),
        encode_token("0", "9" * 80, "0", ""),
        encode_token("0", "0", "0", "", ""),
    ],
)
async def test_bad_tokens_are_refused(client: httpx.AsyncClient, token: str) -> None:
    thread = await start(client, "Hi")
    url = f"{THREADS}/{thread['thread_id']}/delta"

    answer = await client.get(url, params={"next_token": token})

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["loc"] == ["query", "next_token"]


@pytest.mark.parametrize(
    "parts", [("9", "99", "0", ""), ("1", "0", "7", "abc"), ("1", "1", "0", "x")]
)
async def test_a_token_of_another_thread_gives_what_fits(
    client: httpx.AsyncClient, worker: None, parts: tuple[str, ...]
) -> None:
    thread = await settled(client, (await start(client, "Hi"))["thread_id"])
    held = thread["messages"][: int(parts[1])]
    reader = Reader(client, thread["thread_id"], held, encode_token(*parts))

    await reader.poll()

    assert reader.transcript == transcript(thread["messages"])


async def test_a_lost_redis_resets_the_message_that_is_made(
    client: httpx.AsyncClient, worker: None, redis: Redis, settings: Settings
) -> None:
    thread = await start(client, " ".join(f"w{n}" for n in range(25)))
    reader = Reader(client, thread["thread_id"], thread["messages"], thread["continuation_token"])
    while len(reader.messages) < 2 or not reader.messages[1]["content"]:
        await reader.poll(wait=5)

    keys = [key async for key in redis.scan_iter(f"{settings.redis_namespace}:partial:*")]
    assert await redis.delete(*keys) == 1
    await reader.follow()

    assert any(d["reset_from_message_sequence_num"] == 1 for d in reader.deltas)
    assert reader.transcript == transcript((await read(client, thread["thread_id"]))["messages"])


async def test_a_message_put_down_behind_an_answer_not_yet_read_does_not_swallow_it(
    client: httpx.AsyncClient, worker: None
) -> None:
    """The published client puts down what it sends, even if it has not polled for the answer."""
    thread = await start(client, "One")
    thread_id = thread["thread_id"]
    await settled(client, thread_id)
    reader = Reader(client, thread_id, thread["messages"], thread["continuation_token"])

    await send(client, thread_id, "Two")
    reader.messages.append({**said("Two"), "status": "not_started"})
    reader.status = None
    await reader.follow()
    if reader.transcript[-1][0] == "user":  # it stopped at the end of the first turn
        await reader.follow()

    assert reader.transcript == transcript((await settled(client, thread_id))["messages"])


@pytest.mark.parametrize("seed", range(4))
async def test_deltas_put_together_are_always_the_transcript(
    client: httpx.AsyncClient, worker: None, seed: int
) -> None:
    """Readers that come at any time, and send, cancel or start over in between."""
    chance = random.Random(seed)  # noqa: S311 - which polls come when, no secret
    thread = await start(client, _text(chance))
    thread_id = thread["thread_id"]
    readers = [
        Reader(client, thread_id, thread["messages"], thread["continuation_token"]),
        Reader(client, thread_id),
    ]

    for turn in range(3):
        if turn:
            text = _text(chance)
            await send(client, thread_id, text)
            readers[0].messages.append({**said(text), "status": "not_started"})
        cancelled = chance.random() < 0.3
        for _ in range(chance.randrange(6)):
            await chance.choice(readers).poll(wait=chance.choice([0, 0, 0.05]))
            await asyncio.sleep(chance.random() * 0.06)
            if chance.random() < 0.3:
                record = await read(client, thread_id)
                token = record["continuation_token"]
                readers.append(Reader(client, thread_id, record["messages"], token))
        if cancelled:
            await client.post(f"{THREADS}/{thread_id}/cancel")
        await settled(client, thread_id)

    whole = (await settled(client, thread_id))["messages"]
    for reader in readers:
        await reader.poll()
        assert reader.transcript == transcript(whole)
        assert (await reader.poll())["messages_by_idx"] == {}


def _text(chance: random.Random) -> str:
    return " ".join(chance.choice(["naïve", "🦀", "a", "long-word"]) for _ in range(12))

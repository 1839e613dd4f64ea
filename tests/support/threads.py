"""Threads as a test drives them over HTTP, and a reader that follows one as clients do."""

from collections.abc import Sequence
from typing import Any

import httpx

THREADS = "/v1/ai/threads"


def said(text: str, role: str = "user") -> dict[str, Any]:
    """A message as it is sent."""
    return {"role": role, "content": [{"text": text}]}


def texts(thread: dict[str, Any]) -> list[str]:
    """The text of each message of a thread's record."""
    return [text_of(message) for message in thread["messages"]]


def text_of(message: dict[str, Any]) -> str:
    return "".join(block.get("text", "") for block in message["content"])


def data(response: httpx.Response, status: int = 200) -> Any:
    """What a response carries; the test fails if it is another status."""
    assert response.status_code == status, response.text
    return response.json()["data"]


async def start(client: httpx.AsyncClient, *messages: Any, **fields: Any) -> dict[str, Any]:
    """Start a thread with texts of the user, or whole messages."""
    body = {"messages": [said(m) if isinstance(m, str) else m for m in messages], **fields}
    record: dict[str, Any] = data(await client.post(THREADS, json=body), 201)
    return record


async def send(client: httpx.AsyncClient, thread_id: str, text: str) -> dict[str, Any]:
    body = {"message": said(text)}
    record: dict[str, Any] = data(await client.post(f"{THREADS}/{thread_id}/messages", json=body))
    return record


async def read(client: httpx.AsyncClient, thread_id: str) -> dict[str, Any]:
    record: dict[str, Any] = data(await client.get(f"{THREADS}/{thread_id}"))
    return record


async def settled(client: httpx.AsyncClient, thread_id: str) -> dict[str, Any]:
    """Follow a thread until it is the user's turn; the thread with its messages."""
    await Reader(client, thread_id).follow()
    record = await read(client, thread_id)
    rest = Reader(client, thread_id, record["messages"], record["continuation_token"])
    while record["status"] != "user_turn":  # it is too long for one answer
        await rest.poll()
        record |= {"status": rest.status, "messages": rest.messages}
    return record


async def rested(client: httpx.AsyncClient, thread_id: str, actions: int = 1) -> dict[str, Any]:
    """Follow a thread until it waits for its user, or for so many actions."""
    reader, waits = Reader(client, thread_id), False
    while not waits:
        delta = await reader.poll(wait=10)
        waits = reader.status == "user_turn" or len(delta["required_actions"] or []) == actions
    return await read(client, thread_id)


async def answered(client: httpx.AsyncClient, *messages: Any, **fields: Any) -> dict[str, Any]:
    """Start a thread, and wait for its answer."""
    return await settled(client, (await start(client, *messages, **fields))["thread_id"])


class Reader:
    """Holds a thread, and brings it up to date by deltas, with the rules of the published client.

    Attributes:
        messages: the transcript as it is held.
        deltas: every answer that was read.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        thread_id: str,
        messages: Sequence[dict[str, Any]] = (),
        token: str = "",
    ) -> None:
        self._client = client
        self._url = f"{THREADS}/{thread_id}/delta"
        self.messages = [dict(message) for message in messages]
        self.token = token
        self.status: str | None = None
        self.deltas: list[dict[str, Any]] = []

    async def poll(self, wait: float = 0) -> dict[str, Any]:
        """Read one delta, and apply it."""
        params: dict[str, Any] = {"next_token": self.token, "wait": wait}
        delta: dict[str, Any] = data(await self._client.get(self._url, params=params))
        self.apply(delta)
        return delta

    def apply(self, delta: dict[str, Any]) -> None:
        """Bring what is held up to date with a delta."""
        self.deltas.append(delta)
        self.token = delta["continuation_token"]
        self.status = delta["status"] or self.status
        if delta["reset_from_message_sequence_num"] is not None:
            del self.messages[delta["reset_from_message_sequence_num"] :]
        for idx, message in sorted((int(i), m) for i, m in delta["messages_by_idx"].items()):
            if idx < len(self.messages):
                held = self.messages[idx]
                held["status"] = message["status"]
                held["content"] = held["content"] + message["content"]
            else:
                assert idx == len(self.messages), "the delta leaves a gap"
                self.messages.append(dict(message))

    async def follow(self, status: str = "user_turn") -> None:
        """Poll until the thread has the status."""
        while True:
            await self.poll(wait=10)
            if self.status == status:
                return

    @property
    def transcript(self) -> list[tuple[str, str, str, list[Any]]]:
        """What is held, with the texts of each message put together."""
        return transcript(self.messages)


def transcript(messages: Sequence[dict[str, Any]]) -> list[tuple[str, str, str, list[Any]]]:
    """Role, status, whole text and other blocks of each message."""
    return [
        (m["role"], m["status"], text_of(m), [b for b in m["content"] if "text" not in b])
        for m in messages
    ]


def results(thread: dict[str, Any]) -> list[tuple[str, Any]]:
    """(status, payload) of all results, in the order of their calls."""
    blocks = [block for message in thread["messages"] for block in message["content"]]
    found = {b["tool_use_id"]: b for b in blocks if b["content_type"] == "tool_result"}
    uses = [b["tool_use_id"] for b in blocks if b["content_type"] == "tool_use"]
    assert set(found) == set(uses)
    return [(found[use]["status"], found[use]["payload"]) for use in uses]

"""Threads over HTTP, with a real worker."""

from typing import Any

import httpx


def said(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"text": text}]}


async def settled(client: httpx.AsyncClient, thread_id: str, token: str = "") -> dict[str, Any]:
    """Follow a thread until it is the user's turn; the thread with its messages."""
    while True:
        response = await client.get(
            f"/v1/ai/threads/{thread_id}/delta", params={"next_token": token, "wait": 10}
        )
        assert response.status_code == 200, response.text
        delta = response.json()["data"]
        token = delta["continuation_token"]
        if delta["status"] == "user_turn":
            break
    return (await client.get(f"/v1/ai/threads/{thread_id}")).json()["data"]


def texts(thread: dict[str, Any]) -> list[str]:
    return ["".join(b.get("text", "") for b in m["content"]) for m in thread["messages"]]


async def test_a_thread_answers(client: httpx.AsyncClient, worker: None) -> None:
    response = await client.post("/v1/ai/threads", json={"messages": [said("Hello there")]})
    assert response.status_code == 201, response.text
    started = response.json()["data"]
    assert started["status"] == "roboto_turn"
    thread = await settled(client, started["thread_id"])
    assert thread["status"] == "user_turn"
    assert texts(thread) == ["Hello there", "[echo model] You said: Hello there"]

    sent = await client.post(
        f"/v1/ai/threads/{thread['thread_id']}/messages", json={"message": said("again")}
    )
    assert sent.status_code == 200, sent.text
    thread = await settled(client, thread["thread_id"], thread["continuation_token"])
    assert texts(thread)[2:] == ["again", "[echo model] You said: again"]

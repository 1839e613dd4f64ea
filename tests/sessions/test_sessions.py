"""Sessions of any flow over HTTP, with a real worker."""

from typing import Any

import httpx


async def polled(client: httpx.AsyncClient, flow: str, session_id: str) -> dict[str, Any]:
    """Poll until no invocation runs."""
    while True:
        response = await client.post(
            f"/v1/ai/{flow}/event",
            params={"wait": 10},
            json={"session_id": session_id, "event": "poll"},
        )
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        if answer["next_actions"] != ["poll"]:
            return answer
        assert answer["progress"]["total_number_of_subtasks"] >= 1


async def test_a_session_takes_an_event_and_answers(
    client: httpx.AsyncClient, worker: None
) -> None:
    started = await client.post("/v1/ai/chat/start_session", json={})
    assert started.status_code == 200, started.text
    session = started.json()
    assert session["next_actions"] == ["user_message"]

    sent = await client.post(
        "/v1/ai/chat/event",
        json={
            "session_id": session["session_id"],
            "event": "user_message",
            "event_input": "Hello",
        },
    )
    assert sent.json()["next_actions"] == ["poll"]
    answer = await polled(client, "chat", session["session_id"])
    assert answer["response"] == "[echo model] You said: Hello"
    assert answer["next_actions"] == ["user_message"]


async def test_an_event_that_the_state_does_not_take_is_refused(client: httpx.AsyncClient) -> None:
    session = (await client.post("/v1/ai/chat/start_session")).json()
    for event in ("reply", "nonsense", "give_up"):
        answer = await client.post(
            "/v1/ai/chat/event",
            json={"session_id": session["session_id"], "event": event, "event_input": "x"},
        )
        assert answer.status_code == 409
        problem = answer.json()
        assert problem["current_state"] == "user_turn"
        assert problem["possible_events"] == ["user_message"]
        assert problem["received_event"] == event
    state = await client.get(f"/v1/ai/chat/task_state/{session['session_id']}")
    assert state.json() == {
        "session_id": session["session_id"],
        "ready": True,
        "next_actions": ["user_message"],
    }

"""The three flows in code of `examples/`, over HTTP with a real worker and no account anywhere."""

import httpx
import pytest

from app.settings import Settings
from tests.support.flows import Session


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"flows_package": "examples.flows"})


async def test_the_question_flow_answers_each_question(
    client: httpx.AsyncClient, worker: None
) -> None:
    session = await Session.start(client, "question_answer")
    assert session.answer["response"] == "What would you like to know?"
    assert session.answer["next_actions"] == ["ask"]
    for question in ("Why is the sky blue?", "And at night?"):
        answer = await session.send("ask", question)
        assert answer["response"] == f"[echo model] You said: {question}"
        assert answer["next_actions"] == ["ask", "stop"]
    answer = await session.send("stop")
    assert answer["response"] == "Goodbye."
    assert answer["next_actions"] == []


async def test_data_capture_with_a_guard_and_a_retry(
    client: httpx.AsyncClient, worker: None
) -> None:
    session = await Session.start(client, "data_capture")
    assert session.answer["response"] == "What is your name, and how old are you?"
    refused = await session.post("say_who", "")
    assert refused.status_code == 409
    assert "500 characters" in refused.json()["detail"]

    answer = await session.send("say_who", '{"name": "Ada", "age": 3600}')
    assert answer["response"] == "I did not get that. What is your name, and how old are you?"
    answer = await session.send("say_who", '{"name": "Ada", "age": 36}')
    assert answer["response"] == "Welcome Ada, aged 36!"
    assert answer["next_actions"] == []
    assert await session.model("[user_name, age, retries]") == ["Ada", 36, 1]
    assert await session.model("secondary_store.*.understood") == [False, True]
    assert ("user", "(personal data)") in await session.dialogue()


async def test_data_capture_gives_up(client: httpx.AsyncClient, worker: None) -> None:
    session = await Session.start(client, "data_capture")
    for _ in range(3):
        await session.send("say_who", "no idea")
    assert session.answer["response"] == "Let us leave it at that."
    assert session.answer["next_actions"] == []


async def test_the_research_flow_makes_a_report(client: httpx.AsyncClient, worker: None) -> None:
    session = await Session.start(client, "topic_research")
    answer = await session.send("brief", "bees, wasps,, bees")
    assert answer["error"] is None
    assert answer["response"].startswith("2 findings:\n- [echo model] You said: In two sentences")
    assert "topic 2, wasps?" in answer["response"]
    assert await session.model("report.headline") == "2 findings"
    assert len(await session.model("report.findings")) == 2
    answer = await session.send("brief", " , ")
    assert answer["response"].startswith("0 findings")

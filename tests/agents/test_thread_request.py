"""Requests that start a thread: what the published client sends, and what is refused by name."""

import json
from typing import Any

import pytest
from pydantic import ValidationError
from roboto.ai.agent_thread import record as client

from app.wire.client_context import AnalysisScope
from app.wire.thread_requests import (
    LaunchAgentRequest,
    SendMessageRequest,
    StartAgentThreadRequest,
)

HELLO = {"role": "user", "content": [{"text": "Hello."}]}


def start(**changes: Any) -> dict[str, Any]:
    return {"messages": [HELLO], **changes}


def faults(model: Any, body: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(body)
    return {".".join(map(str, e["loc"])): e["msg"] for e in caught.value.errors()}


@pytest.mark.parametrize("exclude_unset", [True, False])
def test_all_that_the_published_client_can_say_is_understood(exclude_unset: bool) -> None:
    said = client.StartAgentThreadRequest(
        messages=[
            client.AgentMessage.text("Hi {{a}}", client.AgentRole.ASSISTANT),
            client.AgentMessage(
                role=client.AgentRole.USER,
                content=[client.AgentTextContent(text="x")],
                status=client.AgentMessageStatus.COMPLETED,
            ),
        ],
        client_context=client.ClientViewingContext(
            dataset_ids=["ds_1"],
            misc_context={"deep": [{"a": 1}]},
            table_state={"target": "files"},
            display_time_anchor_ns=5,
        ),
        system_prompt="Be brief.",
        model_profile="standard",
        analysis_scope=client.AnalysisScope(start_time=1, end_time=2),
        visibility=client.ThreadVisibility.ORG,
        client_tools=[],
        goals=[],
        available_skills=[],
    )
    body = json.loads(said.model_dump_json(exclude_unset=exclude_unset))

    understood = StartAgentThreadRequest.model_validate(body)

    assert understood.model_dump(mode="json", exclude_unset=True) == body
    back = client.StartAgentThreadRequest.model_validate(understood.model_dump(mode="json"))
    assert back.model_dump(exclude={"messages"}) == said.model_dump(exclude={"messages"})


def test_the_old_name_of_the_client_context_is_taken() -> None:
    request = StartAgentThreadRequest.model_validate(start(context={"dataset_ids": ["ds_1"]}))

    assert request.client_context is not None
    assert request.client_context.dataset_ids == ["ds_1"]


def test_nulls_are_taken_and_given_back_so_that_the_published_client_can_read_them() -> None:
    request = StartAgentThreadRequest.model_validate(
        start(client_tools=None, goals=None, invoke_skills=None, available_skills=None)
    )

    client.StartAgentThreadRequest.model_validate(request.model_dump(mode="json"))


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "roboto", "content": [{"text": "x"}]}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": []}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"text": 3}]}]}, "messages.0.content.0.text"),
        (
            {"messages": [{"role": "user", "content": [{"tool_name": "a", "tool_use_id": "b"}]}]},
            "messages.0.content.0.tool_name",
        ),
        (start(bogus=1), "bogus"),
        (start(client_context={"bogus": 1}), "client_context.bogus"),
        (start(messages=[{**HELLO, "bogus": 1}]), "messages.0.bogus"),
        (start(client_context={}, context={}), "context"),
        (start(visibility="world"), "visibility"),
        (start(flow="Chat!"), "flow"),
        (start(model_profile="a\nb"), "model_profile"),
        (start(analysis_scope={"start_time": 2, "end_time": 1}), "analysis_scope"),
        (start(analysis_scope={"start_time": 2**63}), "analysis_scope.start_time"),
    ],
)
def test_a_bad_request_is_refused_with_its_place(body: dict[str, Any], place: str) -> None:
    assert place in faults(StartAgentThreadRequest, body)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "message"),
        ({"message": None}, "message"),
        ({"message": {"role": "assistant", "content": [{"text": "x"}]}}, "message.role"),
        ({"message": {"role": "user", "content": []}}, "message.content"),
        ({"message": HELLO, "goals": [{}]}, "goals.0"),
    ],
)
def test_a_sent_message_is_the_users_text(body: dict[str, Any], place: str) -> None:
    assert place in faults(SendMessageRequest, body)


def test_what_the_published_client_sends_and_launches_with_is_understood() -> None:
    sent = client.SendMessageRequest(message=client.AgentMessage.text("Hi"), client_tools=None)
    launch = LaunchAgentRequest.model_validate({"values": {"a": "b"}, "analysis_scope": None})

    message = SendMessageRequest.model_validate_json(sent.model_dump_json()).message

    assert message.content[0].text == "Hi"
    assert launch.visibility == "org"


def test_each_end_of_a_scope_is_overridden_by_itself() -> None:
    authored = AnalysisScope(start_time=1, end_time=5)

    assert authored.merge(AnalysisScope(end_time=9)) == AnalysisScope(start_time=1, end_time=9)
    with pytest.raises(ValidationError, match="start_time must not be after end_time"):
        authored.merge(AnalysisScope(start_time=6))

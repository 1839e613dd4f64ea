"""Messages on the wire: what we write, the published client reads."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from roboto.ai.agent_thread import record as client

from app.wire.messages import AgentContent, AgentMessage, AgentMessageStatus, AgentRole

BLOCKS: list[dict[str, Any]] = [
    {"text": "Hello."},
    {"content_type": "text", "text": "Hello."},
    {"content_type": "error", "error_message": "No.", "error_code": "timeout"},
    {"content_type": "tool_use", "tool_name": "client_a", "tool_use_id": "tu_1", "input": {"a": 1}},
    {
        "content_type": "tool_result",
        "tool_name": "client_a",
        "tool_use_id": "tu_1",
        "runtime_ms": 5,
        "status": "success",
        "payload": [1, "two"],
    },
]
CLASSES = [
    "AgentTextContent",
    "AgentTextContent",
    "AgentErrorContent",
    "AgentToolUseContent",
    "AgentToolResultContent",
]


@pytest.mark.parametrize(("block", "name"), list(zip(BLOCKS, CLASSES, strict=True)))
def test_the_published_client_reads_every_kind_of_block(block: dict[str, Any], name: str) -> None:
    message = AgentMessage.model_validate({"role": "roboto", "content": [block]})

    read = client.AgentMessage.model_validate(message.model_dump(mode="json"))

    assert type(read.content[0]).__name__ == name
    for key in block.keys() - {"content_type"}:
        assert getattr(read.content[0], key) == block[key]


@pytest.mark.parametrize(("block", "name"), list(zip(BLOCKS, CLASSES, strict=True)))
def test_the_kind_may_be_left_out_as_the_published_client_does(
    block: dict[str, Any], name: str
) -> None:
    bare = {key: value for key, value in block.items() if key != "content_type"}

    content = TypeAdapter[Any](AgentContent).validate_python(bare)

    assert type(content).__name__ == name


@pytest.mark.parametrize("block", [3, None, "text", {"content_type": "image"}, {"content_type": 3}])
def test_what_is_no_block_is_refused_in_words(block: object) -> None:
    with pytest.raises(ValidationError, match="not a content block"):
        TypeAdapter[Any](AgentContent).validate_python(block)


def test_the_words_of_the_wire_are_the_published_clients() -> None:
    assert [role.value for role in AgentRole] == [role.value for role in client.AgentRole]
    assert [status.value for status in AgentMessageStatus] == [
        status.value for status in client.AgentMessageStatus
    ]

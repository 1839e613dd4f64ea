"""The skills that a thread's model may load, and those that a message invokes."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from app.enums import MessageRole
from app.flows.library.call_blocks import result_block, use_block
from app.flows.model.versioned import VersionedModel, register_model
from app.flows.move import TurnMessage
from app.invokers.invoker import ToolCall
from app.invokers.tool import Effect, ServerTool, ToolResult, ToolStatus
from app.kit.ids import new_id

LOAD_SKILL = "load_skill"


@register_model
class SkillBody(VersionedModel):
    """The text of a skill as it was when its thread started."""

    text: str


class KnownSkill(BaseModel):
    """A version of a skill that a model may load."""

    skill_id: str
    version: int
    description: str


class InvokedSkill(BaseModel):
    """A skill that a message invokes."""

    name: str
    body: str


def load_skill_tool(skills: Mapping[str, KnownSkill]) -> ServerTool:
    """The tool by which a model loads one of the skills."""
    lines = [f"- {name}: {skill.description}" for name, skill in skills.items()]
    return ServerTool(
        type="skill",
        name=LOAD_SKILL,
        description="\n".join(["Gives the whole text of a skill. There are:", *lines]),
        input_schema={
            "type": "object",
            "properties": {"name": {"type": "string", "enum": list(skills)}},
            "required": ["name"],
        },
        effect=Effect.READ,
    )


def invocations(skills: Iterable[InvokedSkill]) -> list[TurnMessage]:
    """Each skill as a call and its result: as if the model had loaded it."""
    messages = []
    for skill in skills:
        arguments: dict[str, Any] = {"name": skill.name}
        call = ToolCall(new_id("tu"), LOAD_SKILL, arguments)
        result = ToolResult(tool_use_id=call.id, status=ToolStatus.SUCCESS, payload=skill.body)
        messages += [
            TurnMessage(MessageRole.ASSISTANT, [use_block(call, refused=False)], behind=True),
            TurnMessage(MessageRole.ROBOTO, [result_block(LOAD_SKILL, result, 1)], behind=True),
        ]
    return messages

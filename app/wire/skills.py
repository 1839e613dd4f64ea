"""The skills that a thread or a message names."""

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from app.wire.messages import WireModel


class SkillSpec(WireModel):
    """A version of a skill."""

    skill_id: str = Field(
        description="Id of the skill.", max_length=100, examples=["sk_01k8zq5d3v"]
    )
    version: int | None = Field(
        None, description="Which version; null for the latest.", ge=1, lt=2**31
    )


def _each_once(skills: list[SkillSpec] | None) -> list[SkillSpec] | None:
    ids = [skill.skill_id for skill in skills or []]
    if twice := next((one for one in ids if ids.count(one) > 1), None):
        raise ValueError(f"skill {twice!r} is named twice")
    return skills


InvokeSkills: TypeAlias = Annotated[
    # The published client cannot read null here.
    list[SkillSpec],
    BeforeValidator(lambda value: [] if value is None else value),
    Field(max_length=100),
    AfterValidator(_each_once),
]
AvailableSkills: TypeAlias = Annotated[
    list[SkillSpec] | None, Field(max_length=100), AfterValidator(_each_once)
]
INVOKE_SKILLS = "Skills that the model is given behind the message, as if it had loaded them."
AVAILABLE_SKILLS = (
    "Skills that the model may load, kept as they are now. Null: those that who sends a message is"
    " subscribed to. Empty: none."
)

"""What clients send and get of skills, and how much one may be."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, ConfigDict, Field, field_validator

from app.db.models import SkillAccessibility
from app.wire.messages import WireModel

NAME_PATTERN = "^[A-Za-z0-9_-]+$"
MAX_NAME = 120
MAX_DESCRIPTION = 500
MAX_BODY_BYTES = 256 * 1024
MAX_TAGS = 100
_MAX_TOPICS = 500
_MAX_VERSION = 2**31 - 1

_CONTENT_EXAMPLE: dict[str, Any] = {
    "description": "When the user asks for a review of a dataset.",
    "body": "1. Read the summary of the dataset.\n2. List what is missing.",
    "relevant_topics": ["/imu/data"],
}


class SkillListScope(StrEnum):
    """A part of the skills that the caller sees."""

    PERSONAL = "personal"
    ORG = "org"


def _within_bytes(text: str) -> str:
    if len(text.encode()) > MAX_BODY_BYTES:
        raise ValueError(f"must have at most {MAX_BODY_BYTES} bytes")
    return text


Name: TypeAlias = Annotated[str, Field(max_length=MAX_NAME, pattern=NAME_PATTERN)]
Description: TypeAlias = Annotated[str, Field(max_length=MAX_DESCRIPTION)]
Body: TypeAlias = Annotated[str, Field(max_length=MAX_BODY_BYTES), AfterValidator(_within_bytes)]
_Tag: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
Tags: TypeAlias = Annotated[list[_Tag], Field(max_length=MAX_TAGS)]
_Topic: TypeAlias = Annotated[str, Field(min_length=1, max_length=500)]
Topics: TypeAlias = Annotated[list[_Topic], Field(max_length=_MAX_TOPICS)]
VersionNumber: TypeAlias = Annotated[int, Field(ge=1, le=_MAX_VERSION)]


class CreateSkillVersionRequest(WireModel):
    """The text of a version."""

    model_config = ConfigDict(json_schema_extra={"example": _CONTENT_EXAMPLE})

    description: Description = Field(description="When the model should load the skill.")
    body: Body = Field(description="What the model reads then; at most 256 KB of UTF-8.")
    relevant_topics: Topics = Field([], description="Names of the topics that the body is about.")


class CreateSkillRequest(CreateSkillVersionRequest):
    """A skill with its version 1."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "qa-review", **_CONTENT_EXAMPLE}}
    )

    name: Name = Field(
        description="Unique among the skills that the org sees, or among the author's private ones."
    )
    accessibility: SkillAccessibility = Field(
        SkillAccessibility.PRIVATE,
        description="private: the author's; org: others read it; org-editable: others edit it too.",
    )
    tags: Tags = Field([], description="Words to find it by.")


def _omitted() -> Any:
    """Stands where nothing was given; `model_fields_set` says what was, and null is refused."""
    return None


class _Changes(WireModel):
    """What is left out is kept."""

    @field_validator("*", mode="before")
    @classmethod
    def _not_null(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("must not be null; leave it out to keep it")
        return value

    def given(self) -> dict[str, Any]:
        """The fields that the request has."""
        return {field: getattr(self, field) for field in self.model_fields_set}


class UpdateSkillMetadataRequest(_Changes):
    """Changes what a skill is called, who may use it, and its tags; what is left out is kept."""

    model_config = ConfigDict(json_schema_extra={"example": {"put_tags": ["review"]}})

    name: Name = Field(default_factory=_omitted, description="As when it is created.")
    accessibility: SkillAccessibility = Field(
        default_factory=_omitted,
        description="Only the author changes it. With private, all others lose their subscription.",
    )
    put_tags: Tags = Field([], description="Tags to add; those that it has are fine.")
    remove_tags: Tags = Field([], description="Tags to take away, after those to add.")


class UpdateSkillVersionRequest(_Changes):
    """Changes the text of a version in place; what is left out is kept."""

    model_config = ConfigDict(json_schema_extra={"example": {"body": "1. Ask which dataset."}})

    description: Description = Field(
        default_factory=_omitted, description="When the model should load the skill."
    )
    body: Body = Field(default_factory=_omitted, description="What the model reads then.")
    relevant_topics: Topics = Field(
        default_factory=_omitted, description="Replaces the names as a whole."
    )


class SetSkillSubscriptionRequest(WireModel):
    """Which version of a skill the caller's models are offered."""

    model_config = ConfigDict(json_schema_extra={"example": {"ai_version": 1}})

    ai_version: VersionNumber | None = Field(
        None, description="A version of the skill; null: the models are not offered it."
    )


class SkillRecord(WireModel):
    """A skill, without its text."""

    skill_id: str = Field(description="Stays the same for life.", examples=["sk_01k8z…"])
    org_id: str = Field(description="The org that owns the skill.")
    accessibility: SkillAccessibility = Field(description="Who sees it, and who edits it.")
    name: str = Field(description="As it was given.")
    tags: list[str] = Field(description="Words to find it by.")
    created: datetime = Field(description="When it was created.")
    created_by: str = Field(description="Id of the user who did: the author.")
    modified: datetime = Field(description="When it or one of its versions was changed last.")


class SkillVersionRecord(WireModel):
    """One version of a skill's text."""

    skill_id: str = Field(description="The skill.")
    version: int = Field(description="Its number in the skill, from 1.")
    description: str = Field(description="When the model should load the skill.")
    body: str = Field(description="What the model reads then.")
    relevant_topics: list[str] = Field(description="Names of the topics that the body is about.")
    created: datetime = Field(description="When it was created.")
    modified: datetime = Field(description="When its text was changed last.")


class SkillSubscriptionRecord(WireModel):
    """A user's subscription to a skill."""

    user_id: str = Field(description="Who is subscribed.")
    skill_id: str = Field(description="The skill.")
    ai_version: int | None = Field(
        description="The version that the user's models are offered; null: none."
    )
    subscribed: datetime = Field(description="Since when.")


class SkillSummary(WireModel):
    """A skill with its latest version, and the caller's subscription to it."""

    skill: SkillRecord = Field(description="The skill.")
    latest_version: SkillVersionRecord = Field(description="The version of the highest number.")
    subscription: SkillSubscriptionRecord | None = Field(
        description="The caller's; null: not subscribed."
    )

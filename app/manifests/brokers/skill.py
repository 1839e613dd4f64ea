"""Kind Skill: the skills of `/v1/skills`, in the same tables."""

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field, field_validator
from sqlalchemy import not_
from sqlalchemy.orm import aliased
from sqlmodel import select
from sqlmodel.sql.expression import SelectOfScalar
from typing_extensions import override

from app.db.models import Skill, SkillAccessibility, SkillVersion
from app.enums import Quota
from app.errors import faults_within
from app.manifests.brokers.bases.stored import StoredBroker, attribute, meta_field
from app.manifests.context import Context
from app.manifests.model.envelope import Envelope, Manifest, valid_input
from app.manifests.model.metadata import ManifestModel
from app.manifests.model.table import Column
from app.skills import service, store, versions
from app.skills.access import visible_to
from app.skills.record import (
    MAX_NAME,
    NAME_PATTERN,
    Body,
    CreateSkillRequest,
    CreateSkillVersionRequest,
    Description,
    Name,
    Tags,
    Topics,
)


class _Named(ManifestModel):
    """What the name of a skill must be: it stands in URLs, and a model names it."""

    name: Name


class SkillSpec(ManifestModel):
    """What a skill is; another description, body or list of topics is another version."""

    description: Description = Field(description="When the model should load the skill.")
    body: Body = Field(description="What the model reads then.")
    accessibility: SkillAccessibility = Field(
        SkillAccessibility.PRIVATE,
        description="private: yours alone; org: others read it; org-editable: others edit it too.",
    )
    tags: Tags = Field([], description="Words to find it by.")
    relevant_topics: Topics = Field([], description="Names of the topics that the body is about.")

    @field_validator("tags")
    @classmethod
    def _no_tag_twice(cls, tags: list[str]) -> list[str]:
        if len(set(tags)) < len(tags):
            raise ValueError("the same tag twice")
        return tags


class SkillBroker(StoredBroker[SkillSpec, Skill]):
    """The kind Skill, written by the functions of the skills' own endpoints, under their rules."""

    kind: ClassVar[str] = "Skill"
    quota: ClassVar[Quota] = Quota.SKILLS
    table: ClassVar[Any] = Skill
    id_prefix: ClassVar[str] = "sk"
    spec_model = SkillSpec
    free_names: ClassVar[bool] = True
    has_private_rows: ClassVar[bool] = True
    columns: ClassVar[Sequence[Column]] = (
        attribute("name"),
        meta_field("description"),
        attribute("accessibility"),
        attribute("version", "integer", field="latest_version"),
        attribute("skillId", field="id"),
        attribute("created", "datetime"),
        attribute("modified", "datetime"),
    )
    example: ClassVar[str] = """\
apiVersion: statewright/v1
kind: Skill
metadata:
  name: example-skill
  description: how a dataset is reviewed
spec:
  description: When the user asks for a review of a dataset.
  body: |
    1. Read the summary of the dataset.
    2. List what is missing, the most important first.
  accessibility: org
  tags:
    - review
  relevantTopics:
    - /imu/data
"""

    @override
    def parse(self, envelope: Envelope) -> Manifest[SkillSpec]:
        manifest = super().parse(envelope)
        with valid_input(_Named, "metadata"):
            _Named.model_validate({"name": manifest.name})
        return manifest

    @override
    async def json_schema(self) -> dict[str, Any]:
        schema = await super().json_schema()
        schema["properties"]["metadata"]["properties"]["name"] |= {
            "pattern": NAME_PATTERN,
            "maxLength": MAX_NAME,
        }
        return schema

    @override
    def visible_rows(self, context: Context) -> SelectOfScalar[Any]:
        """One of each name: the caller's own private one stands before the org's."""
        caller, own = context.caller, aliased(Skill)
        shadowed = (
            select(own.id)
            .where(
                own.org_id == caller.org_id,
                own.created_by == caller.user_id,
                own.accessibility == SkillAccessibility.PRIVATE,
                own.name == Skill.name,
                own.id != Skill.id,
            )
            .exists()
        )
        return select(Skill).where(visible_to(caller), not_(shadowed))

    @override
    async def create(self, context: Context, manifest: Manifest[SkillSpec]) -> Skill:
        fields = {field: getattr(manifest.spec, field) for field in SkillSpec.model_fields}
        request = CreateSkillRequest(name=manifest.name, **fields)
        meta = manifest.metadata.stored()
        with faults_within("metadata"):
            record = await service.create_skill(context.db, context.caller, request, meta=meta)
        return await store.find_skill(context.db, context.caller, record.skill_id)

    @override
    async def change(self, context: Context, row: Skill, manifest: Manifest[SkillSpec]) -> Skill:
        spec, latest = manifest.spec, await self._latest(context, row)
        fields = {"accessibility": spec.accessibility, "tags": spec.tags}
        with faults_within("metadata"):
            await store.change_skill(
                context.db, context.caller, row, fields | {"meta": manifest.metadata.stored()}
            )
        text = {field: getattr(spec, field) for field in CreateSkillVersionRequest.model_fields}
        if any(getattr(latest, field) != value for field, value in text.items()):
            request = CreateSkillVersionRequest(**text)
            with faults_within("spec"):
                await versions.create_version(context.db, context.caller, row.id, request)
        return row

    @override
    async def remove(self, context: Context, row: Skill) -> None:
        await service.delete_skill(context.db, context.caller, row.id)

    @override
    def stored_spec(self, context: Context, manifest: Manifest[SkillSpec]) -> dict[str, Any]:
        raise NotImplementedError("skills are written by app.skills")

    @override
    def metadata_of(self, row: Skill) -> dict[str, Any]:
        return {"name": row.name, **(row.meta or {}), "resourceVersion": str(row.revision)}

    @override
    async def spec_of(self, context: Context, row: Skill) -> dict[str, Any]:
        latest = await self._latest(context, row)
        return {
            "description": latest.description,
            "body": latest.body,
            "accessibility": row.accessibility.value,
            "tags": row.tags,
            "relevantTopics": latest.relevant_topics,
        }

    @override
    async def status_of(self, context: Context, row: Skill) -> dict[str, Any]:
        return {
            "skillId": row.id,
            "version": row.latest_version,
            **await super().status_of(context, row),
        }

    async def _latest(self, context: Context, row: Skill) -> SkillVersion:
        return await versions.find_version(context.db, row, row.latest_version)

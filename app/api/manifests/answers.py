"""The answers of verbs, and what all their endpoints have in common."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from app.api.http.problems import problem_responses
from app.api.manifests.route import ManifestRoute
from app.api.schemas import json_response
from app.manifests.model.envelope import API_VERSION
from app.manifests.verbs.runner import VerbAnswer
from app.manifests.verbs.service import ManifestService


class AnswerMetadata(BaseModel):
    """Which verb it was, and where the journal has it."""

    command: str = Field(description="The verb.", examples=["apply"])
    key: str = Field(description="Key of the journal entry.", examples=["jrn_01k8zq5d3v"])


class ManifestAnswer(BaseModel):
    """The answer of every verb."""

    data: Any = Field(description="What the verb gives; its shape is the verb's own.")
    message: str = Field(description="For people.", examples=["Agent x applied successfully"])
    api: str = Field(description="The version of the manifests.", examples=[API_VERSION])
    thing: str | None = Field(None, description="The kind.", examples=["Agent"])
    metadata: AnswerMetadata


def manifest_router() -> APIRouter:
    """A router for verbs."""
    return APIRouter(
        prefix="/api/v1/cli",
        tags=["manifests"],
        route_class=ManifestRoute,
        responses=problem_responses(405, 501, 502, 504),
    )


async def _service(request: Request) -> ManifestService:
    service: ManifestService = request.app.state.manifests
    return service


ServiceDep = Annotated[ManifestService, Depends(_service)]


async def answer_response(answer: VerbAnswer) -> Response:
    """The response that an answer is sent as."""
    body = {
        "data": answer.data,
        "message": answer.message,
        "api": API_VERSION,
        "thing": answer.thing,
        "metadata": {"command": answer.command, "key": answer.key},
    }
    return await json_response(body)

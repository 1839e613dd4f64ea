"""Every operation of the OpenAPI document, with what schemathesis makes of it, on the real thing.

Each answer must be one that the document declares: status, content type and body; and never a 5xx
but the 501 of a kind that does not have a verb.
"""

from collections.abc import Iterator
from importlib import import_module

import httpx
import pytest
from fastapi import FastAPI

from app.kit.certificates import NO_CERTIFICATES
from app.settings import Settings
from tests.contract.conftest import Service, running_worker

pytestmark = [
    pytest.mark.fuzz,
    # schemathesis chooses by `random` inside its strategies; hypothesis warns of it.
    pytest.mark.filterwarnings("ignore:Do not use the `random` module"),
]

TAGS = [
    "agents",
    "threads",
    "actions",
    "datasets",
    "sessions",
    "usage",
    "flows",
    "skills",
    "manifests",
    "health",
]
TEXT = {"role": "user", "content": [{"text": "Hi"}]}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    settings.api.max_wait_seconds = 0.02
    return settings


@pytest.fixture
def worker(service: Service) -> Iterator[None]:
    with running_worker(service.settings):
        yield


def test_all_tags_are_walked(shared_api: FastAPI) -> None:
    paths = shared_api.openapi()["paths"].values()

    assert {tag for path in paths for op in path.values() for tag in op["tags"]} == set(TAGS)


@pytest.mark.timeout(300)  # it computes all the time: on a busy machine it takes long
@pytest.mark.parametrize("tag", TAGS)
def test_answers_are_as_declared(
    service: Service, shared_api: FastAPI, worker: None, tag: str
) -> None:
    headers = {"Authorization": f"Bearer {service.key.api_key}"}
    with httpx.Client(
        base_url=service.base_url, headers=headers, verify=NO_CERTIFICATES, timeout=60
    ) as client:
        real = _real(client)

    walked, faults = import_module("tests.contract.conformance").find_faults(
        shared_api.openapi(), tag, base_url=service.base_url, headers=headers, real=real
    )

    assert faults == {}
    assert walked


def _real(client: httpx.Client) -> dict[str, str]:
    """Values of path parameters that name what is there."""
    agent = {"name": "agent", "request_template": {"messages": [TEXT]}}
    made = client.post("/v1/ai/agents", json=agent).json()["data"]
    thread = client.post("/v1/ai/threads", json={"messages": [TEXT]}).json()["data"]
    skill = {"name": "skill", "description": "d", "body": "b"}
    skill_id = client.post("/v1/skills/create", json=skill).json()["data"]["skill_id"]
    return {
        "skill_id": skill_id,
        "skill_name": skill["name"],
        "agent_id": made["agent_id"],
        "name": made["name"],
        "thread_id": thread["thread_id"],
        "session_id": thread["thread_id"],
        "flow": "chat",
    }

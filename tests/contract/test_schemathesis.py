"""Every operation of the OpenAPI document, with what schemathesis makes of it, on the real thing.

Each answer must be one that the document declares: status, content type and body; and never a 5xx
but the 501 of a kind that does not have a verb.
"""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as bounded
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import CheckContext, not_a_server_error
from schemathesis.core.transport import Response
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.main import create_app
from app.settings import Settings
from tests.contract.conftest import Service, running_worker

# schemathesis chooses by `random` inside its strategies; hypothesis warns of it.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")


def no_server_error(ctx: CheckContext, response: Response, case: Case) -> bool | None:
    """No 5xx, but for the declared one of a kind that does not have the verb."""
    if response.status_code == httpx.codes.NOT_IMPLEMENTED:
        return None
    return not_a_server_error(ctx, response, case)


CHECKS = [
    no_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = 12  # right requests, and as many wrong ones, of each operation
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


def test_all_tags_are_walked(settings: Settings) -> None:
    paths = create_app(settings).openapi()["paths"].values()

    assert {tag for path in paths for op in path.values() for tag in op["tags"]} == set(TAGS)


@pytest.mark.timeout(300)  # it computes all the time: on a busy machine it takes long
@pytest.mark.parametrize("tag", TAGS)
def test_answers_are_as_declared(service: Service, worker: None, tag: str) -> None:
    headers = {"Authorization": f"Bearer {service.key.api_key}"}
    walked, faults = 0, {}
    with httpx.Client(base_url=service.base_url, headers=headers, timeout=60) as client:
        real = _real(client)
        schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    for result in schema.get_all_operations():
        operation = result.ok()
        if tag not in operation.definition.raw["tags"]:
            continue
        walked += 1
        for mode in _modes(operation):
            try:
                _exercise(operation, mode, service.base_url, headers, real)()
            except Exception as fault:  # noqa: BLE001 - all are shown, not the first alone
                faults[operation.label, mode.value] = _messages(fault)
    assert faults == {}
    assert walked


def _exercise(
    operation: APIOperation,
    mode: GenerationMode,
    base_url: str,
    headers: dict[str, str],
    real: dict[str, str],
) -> Callable[[], None]:
    """A property test of one operation; most of its requests name what is there."""

    @seed(0)
    @bounded(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(case=operation.as_strategy(generation_mode=mode), named=st.integers(0, 3))
    def run(case: Case, named: int) -> None:
        if named:
            known = {k: v for k, v in real.items() if k in case.path_parameters}
            case.path_parameters.update(known)
            if isinstance(case.body, dict) and "session_id" in case.body:
                case.body["session_id"] = real["session_id"]
        answer = case.call(base_url=base_url, headers=headers)
        case.validate_response(answer, checks=CHECKS)

    return run


def _modes(operation: APIOperation) -> list[GenerationMode]:
    """Right requests, and wrong ones where there is anything that can be wrong."""
    if operation.body or operation.query:
        return [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
    return [GenerationMode.POSITIVE]


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


def _messages(fault: BaseException) -> list[Any]:
    """What is wrong, in words."""
    inner = getattr(fault, "exceptions", [fault])
    return [str(one)[:1500] for one in inner]

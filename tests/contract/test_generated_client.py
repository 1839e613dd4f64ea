"""A client generated from our own OpenAPI document: it is whole, and it drives an agent."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from app.main import create_app
from app.settings import LlmSettings, Settings
from tests.contract.conftest import Service, running_worker

pytestmark = pytest.mark.slow

PACKAGE = "statewright_generated_client"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    settings.llm = LlmSettings(echo_delay_seconds=0.01)
    return settings


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The generated package; a warning, such as an endpoint that is skipped, fails the test."""
    folder = tmp_path_factory.mktemp("generated")
    document = folder / "openapi.json"
    document.write_text(json.dumps(create_app(Settings(dev=True, log_level="ERROR")).openapi()))
    config = folder / "config.yaml"
    # The generator knows no type for YAML: it sends the text as a JSON string.
    overrides = "content_type_overrides: {application/yaml: application/json}\n"
    config.write_text(f"post_hooks: []\n{overrides}")
    command = [
        Path(sys.executable).with_name("openapi-python-client"),
        *("generate", "--meta", "none", "--fail-on-warning"),
        *("--path", document, "--config", config, "--output-path", folder / PACKAGE),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    yield importlib.import_module(PACKAGE)
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


def open_client(service: Service, generated: ModuleType) -> Any:
    return generated.AuthenticatedClient(service.base_url, service.key.api_key, timeout=60)


def test_a_generated_client_drives_an_agent(service: Service, generated: ModuleType) -> None:
    models = importlib.import_module(f"{PACKAGE}.models")

    def call(operation: str, *arguments: Any, **named: Any) -> Any:
        tag = operation.partition("_")[0]
        module = importlib.import_module(f"{PACKAGE}.api.{tag}.{operation}")
        answer = module.sync(*arguments, client=client, **named)
        assert answer is None or not isinstance(answer, models.Problem), answer
        return answer

    def said(text: str, kind: Any = models.InitialMessage, **fields: Any) -> Any:
        return kind(content=[models.AgentText(text=text)], **fields)

    template = models.StartAgentThreadRequest(
        messages=[said("Tell me about {{topic}}.", role=models.InitialMessageRole.USER)]
    )
    request = models.CreateAgentRequest(
        name="teller", request_template=template, variables=[models.TemplateVariable(name="topic")]
    )
    with running_worker(service.settings), open_client(service, generated) as client:
        agent = call("agents_create", body=request).data
        assert call("agents_get_by_name", "teller").data.agent_id == agent.agent_id

        values = models.LaunchAgentRequestValues.from_dict({"topic": "tea"})
        launch = models.LaunchAgentRequest(values=values)
        thread = call("agents_launch", agent.agent_id, body=launch).data
        assert thread.status == "roboto_turn"

        def follow(token: str) -> tuple[str, str]:
            text, status = "", None
            while status != "user_turn":
                delta = call("threads_delta", thread.thread_id, next_token=token, wait=10.0).data
                token, status = delta.continuation_token, delta.status or status
                for message in delta.messages_by_idx.additional_properties.values():
                    if message.role == models.AgentRole.ASSISTANT:
                        text += "".join(block.text for block in message.content)
            return text, token

        text, token = follow(thread.continuation_token)
        assert text == "[echo model] You said: Tell me about tea."
        message = models.SendMessageRequest(message=said("And rum?", models.UserMessage))
        assert call("threads_send_message", thread.thread_id, body=message).data.status
        assert follow(token)[0] == "[echo model] You said: And rum?"

        page = call("threads_search", body=models.SearchThreadsRequest(text="rum")).data
        assert [found.thread_id for found in page.items] == [thread.thread_id]
        assert call("agents_delete", agent.agent_id) is None


def test_a_generated_client_reads_problems(service: Service, generated: ModuleType) -> None:
    get = importlib.import_module(f"{PACKAGE}.api.threads.threads_get")

    with open_client(service, generated) as client:
        problem = get.sync("ath_nowhere", client=client)

    assert (problem.status, problem.type_) == (404, "urn:statewright:problem:not-found")
    assert "ath_nowhere" in problem.detail


def test_names_read_well(generated: ModuleType) -> None:
    models = importlib.import_module(f"{PACKAGE}.models")

    assert {"AgentRecord", "AgentThreadDelta", "Problem"} <= set(models.__all__)
    assert [name for name in models.__all__ if "_" in name or name.startswith("Body")] == []
    assert [name for name in models.__all__ if name.endswith("Output")] == []

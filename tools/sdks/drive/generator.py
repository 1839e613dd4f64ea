"""The main job by the Python client of openapi-generator: `generator.py URL KEY NAME`."""

import json
import sys
import time

from openapi_client import ApiClient, Configuration
from openapi_client.api import AgentsApi, ManifestsApi, ThreadsApi
from openapi_client.models import (
    AgentText,
    CreateAgentRequest,
    InitialMessage,
    LaunchAgentRequest,
    SendMessageRequest,
    StartAgentThreadRequest,
    TemplateVariable,
    UserMessage,
)

url, key, name = sys.argv[1:]


def text(words: str) -> list[AgentText]:
    return [AgentText(text=words)]


with ApiClient(Configuration(host=url, access_token=key)) as client:
    agents, threads, manifests = AgentsApi(client), ThreadsApi(client), ManifestsApi(client)
    template = StartAgentThreadRequest(
        messages=[InitialMessage(role="user", content=text("Tell me about {{topic}}."))]
    )
    variables = [TemplateVariable(name="topic")]
    request = CreateAgentRequest(name=name, request_template=template, variables=variables)
    agent = agents.agents_create(request, idempotency_key=name).data
    launch = LaunchAgentRequest(values={"topic": "tea"})
    thread_id = agents.agents_launch(agent.agent_id, launch).data.thread_id

    def settle() -> list[str]:
        while (thread := threads.threads_get(thread_id).data).status != "user_turn":
            time.sleep(0.05)
        return [message.content[0].actual_instance.text for message in thread.messages]

    settle()
    message = SendMessageRequest(message=UserMessage(content=text("And rum?")))
    threads.threads_send_message(thread_id, message)
    print(json.dumps(settle()))

    yaml = f"apiVersion: statewright/v1\nkind: Dataset\nmetadata:\n  name: {name}\nspec: {{}}\n"
    document = {
        "apiVersion": "statewright/v1",
        "kind": "Dataset",
        "metadata": {"name": name},
        "spec": {"properties": {"room": "9"}},
    }
    print(manifests.manifests_apply(yaml).data["operation"])
    print(manifests.manifests_apply(json.dumps(document)).data["operation"])

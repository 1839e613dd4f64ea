"""The main job by the client of openapi-python-client: `python_client.py URL KEY NAME`."""

import json
import sys
import time

from statewright_client import AuthenticatedClient
from statewright_client.api.agents import agents_create, agents_launch
from statewright_client.api.manifests import manifests_apply
from statewright_client.api.threads import threads_get, threads_send_message
from statewright_client.models import (
    AgentText,
    CreateAgentRequest,
    InitialMessage,
    InitialMessageRole,
    LaunchAgentRequest,
    LaunchAgentRequestValues,
    Manifest,
    SendMessageRequest,
    StartAgentThreadRequest,
    TemplateVariable,
    UserMessage,
)

url, key, name = sys.argv[1:]


def text(words: str) -> list[AgentText]:
    return [AgentText(text=words)]


with AuthenticatedClient(url, key, raise_on_unexpected_status=True) as client:
    opening = InitialMessage(role=InitialMessageRole.USER, content=text("Tell me about {{topic}}."))
    request = CreateAgentRequest(
        name=name,
        request_template=StartAgentThreadRequest(messages=[opening]),
        variables=[TemplateVariable(name="topic")],
    )
    agent = agents_create.sync(client=client, body=request, idempotency_key=name).data
    launch = LaunchAgentRequest(values=LaunchAgentRequestValues.from_dict({"topic": "tea"}))
    thread_id = agents_launch.sync(agent.agent_id, client=client, body=launch).data.thread_id

    def settle() -> list[str]:
        while (thread := threads_get.sync(thread_id, client=client).data).status != "user_turn":
            time.sleep(0.05)
        return [message.content[0].text for message in thread.messages]

    settle()
    message = SendMessageRequest(message=UserMessage(content=text("And rum?")))
    threads_send_message.sync(thread_id, client=client, body=message)
    print(json.dumps(settle()))

    yaml = f"apiVersion: statewright/v1\nkind: Dataset\nmetadata:\n  name: {name}\nspec: {{}}\n"
    document = {
        "apiVersion": "statewright/v1",
        "kind": "Dataset",
        "metadata": {"name": name},
        "spec": {"properties": {"room": "9"}},
    }
    for body in (yaml, Manifest.from_dict(document)):
        print(manifests_apply.sync(client=client, body=body).data["operation"])

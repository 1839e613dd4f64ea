"""The published client's tools, unchanged: the model calls them, the client runs them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from roboto.ai.agent import Agent
from roboto.ai.agent_thread import (
    AgentRole,
    AgentThread,
    AgentThreadStatus,
    AgentToolResultEvent,
    AgentToolUseEvent,
    ClientToolSpec,
    StartAgentThreadRequest,
    client_tool,
)
from roboto.ai.agent_thread.record import AgentMessage
from roboto.exceptions import RobotoInvalidRequestException
from roboto.http import RobotoClient

from app.kit.certificates import NO_CERTIFICATES
from tests.contract.conftest import Service, running_worker
from tests.support.manifests import manifest

TICK = 0.03
SECONDS = 30


@pytest.fixture(autouse=True)
def _worker(service: Service) -> Iterator[None]:
    """A worker beside the running server."""
    with running_worker(service.settings):
        yield


@client_tool(name="client_add")
def add(a: int, b: int) -> int:
    """Adds two numbers.

    Args:
        a: the first.
        b: the second.
    """
    return a + b


@client_tool(name="client_broken")
def broken() -> str:
    """Never works."""
    raise LookupError("nothing there")


def test_the_client_runs_its_tools_and_the_turn_goes_on(roboto: RobotoClient) -> None:
    script = (
        'call client_add {"a": 1, "b": 2}\ncall client_broken {}\nthen\n'
        'call client_add {"a": 5, "b": 5}\nthen\nDone.'
    )
    thread = AgentThread.start(
        script, client_tools=[add, broken], model_profile="script", roboto_client=roboto
    )
    events: list[object] = []
    thread.run(on_event=events.append, tick=TICK, timeout=SECONDS)

    uses = [event for event in events if isinstance(event, AgentToolUseEvent)]
    results = [event for event in events if isinstance(event, AgentToolResultEvent)]
    assert [use.name for use in uses] == ["client_add", "client_broken", "client_add"]
    assert [(r.name, r.success, r.output) for r in results] == [
        ("client_add", True, {"result": 3}),
        ("client_broken", False, {"error": "LookupError: nothing there"}),
        ("client_add", True, {"result": 10}),
    ]
    assert thread.messages[-1].content[0].text == "Done."
    fresh = AgentThread.from_id(thread.thread_id, roboto)
    assert calls_and_results(fresh) == calls_and_results(thread)


def calls_and_results(thread: AgentThread) -> list[tuple[AgentRole, list[str]]]:
    return [
        (message.role, [getattr(block, "tool_use_id", "") for block in message.content])
        for message in thread.messages
    ]


def test_two_clients_may_each_answer_a_part(roboto: RobotoClient) -> None:
    script = 'call client_add {"a": 1, "b": 2}\ncall client_other {}\nthen\nDone.'
    other = ClientToolSpec(name="client_other", description="", input_schema={})
    thread = AgentThread.start(
        script, client_tools=[add, other], model_profile="script", roboto_client=roboto
    )
    while thread.status is not AgentThreadStatus.CLIENT_TOOL_TURN:
        thread.refresh()
    second = AgentThread.from_id(thread.thread_id, roboto)
    calls = []

    @client_tool(name="client_other")
    def run_other() -> str:
        """Is run by the second client alone."""
        calls.append("other")
        return "yes"

    second.register_client_tool(run_other)
    first = AgentThread.from_id(thread.thread_id, roboto).register_client_tool(add)
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(one.run, tick=TICK, timeout=SECONDS) for one in (first, second)]
        for run in runs:
            run.result()
    assert calls == ["other"]
    assert second.messages[-1].content[0].text == "Done."


def test_an_agent_s_template_has_client_tools(roboto: RobotoClient) -> None:
    template = StartAgentThreadRequest(
        messages=[AgentMessage.text('call client_add {"a": 20, "b": 2}\nthen')],
        model_profile="script",
        client_tools=[add.spec],
    )
    agent = Agent.create(name="adder", request_template=template, roboto_client=roboto)
    thread = agent.launch().register_client_tool(add).run(tick=TICK, timeout=SECONDS)

    assert "22" in thread.messages[-1].content[0].text
    stored = Agent.from_id(agent.agent_id, roboto).request_template
    assert stored.client_tools == [add.spec]


def test_wrong_results_are_an_invalid_request(roboto: RobotoClient) -> None:
    thread = AgentThread.start("Hi", client_tools=[add], roboto_client=roboto)
    thread.run(tick=TICK, timeout=SECONDS)
    result = {
        "tool_use_id": "tu_1",
        "tool_name": "client_add",
        "runtime_ms": 1,
        "status": "success",
        "output": {},
    }
    with pytest.raises(RobotoInvalidRequestException, match="waits for no results"):
        roboto.post(
            f"v1/ai/threads/{thread.thread_id}/tool-results", data={"tool_results": [result]}
        )
    thread.submit_client_tool_results([])


def test_the_client_polls_until_somebody_else_has_decided(
    service: Service, roboto: RobotoClient
) -> None:
    headers = {"Authorization": f"Bearer {service.key.api_key}"}
    connection = {"baseUrl": "https://shop.example", "authMethod": "none"}
    http = {"connection": "shop", "method": "DELETE", "path": "/orders"}
    tool = {"description": "Deletes all.", "approval": "always", "http": http}
    body = {
        "messages": [{"role": "user", "content": [{"text": "call delete-all\nthen\nI see."}]}],
        "model_profile": "script",
        "tools": ["delete-all"],
    }
    with httpx.Client(
        base_url=service.base_url, headers=headers, verify=NO_CERTIFICATES
    ) as http_client:
        for one in (
            manifest("ApiConnection", "shop", {"connection": connection}),
            manifest("Tool", "delete-all", tool),
        ):
            assert http_client.post("/api/v1/cli/apply/", json=one).status_code == 200
        thread_id = http_client.post("/v1/ai/threads", json=body).json()["data"]["thread_id"]
        thread = AgentThread.from_id(thread_id, roboto)
        with ThreadPoolExecutor() as pool:
            run = pool.submit(thread.run, tick=TICK, timeout=SECONDS)
            while not (actions := http_client.get("/v1/ai/actions").json()["data"]["items"]):
                assert not run.done()
            record = http_client.get(f"/v1/ai/threads/{thread_id}").json()["data"]
            assert record["activity"] == "Waiting for approval of delete-all"
            assert record["status"] == "roboto_turn"
            url = f"/v1/ai/actions/{actions[0]['action_id']}/resolve"
            assert http_client.post(url, json={"decision": "deny"}).status_code == 200
            run.result()
    assert thread.status is AgentThreadStatus.USER_TURN
    assert thread.messages[-1].content[0].text == "I see."
    assert thread.messages[-2].content[0].status == "declined"

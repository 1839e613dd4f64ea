"""Agents in the templates of flows: each a session of its own, for which the step waits."""

from typing import Any

import httpx
import pytest

from app.db.engine import Database
from tests.support.flows import Session
from tests.support.manifests import manifest, many, post, send
from tests.support.threads import said

pytestmark = pytest.mark.usefixtures("worker")

CLERK = {"agent": "clerk", "values": {"what": "{{ actor_input }}"}}


def agent(name: str, script: str, *variables: str, **template: Any) -> Any:
    """An agent whose model does what the script says."""
    request = {"modelProfile": "script", "messages": [said(script)], **template}
    declared = [{"name": variable} for variable in variables]
    return manifest("Agent", name, {"requestTemplate": request, "variables": declared})


def flow(template: Any) -> Any:
    """A flow that does what the template says, and shows the result."""
    states = {
        "idle": {"initial": True, "transitions": [{"event": "go", "target": "working"}]},
        "working": {"transitions": [{"event": "done", "target": "idle"}]},
    }
    templates = {"idle": "{{ actor_input }}", "working": template}
    return manifest("Flow", "asking", {"statechart": {"states": states}, "templates": templates})


async def answer(client: httpx.AsyncClient, template: Any, text: str) -> dict[str, Any]:
    """What a session of such a flow answers to a text, with a clerk to be asked."""
    clerk = agent("clerk", "{{what}}!", "what")
    await post(client, "apply", many(clerk, flow(template)))
    session = await Session.start(client, "asking")
    return await session.send("go", text)


@pytest.mark.parametrize(
    ("template", "text", "shown"),
    [
        (CLERK, "One", "One!"),
        (
            {
                "chain": [
                    CLERK,
                    {"agent": "clerk", "values": {"what": "Re: {{ previous_result }}"}},
                    "{{ previous_result }} Done.",
                ]
            },
            "One",
            "Re: One!! Done.",
        ),
        ({"parallel": {"agent": CLERK, "plain": "b"}}, "a", '{"agent": "a!", "plain": "b"}'),
        (
            {
                "map": {
                    "over": "parsed_actor_input",
                    "template": {
                        "agent": "clerk",
                        "values": {"what": "{{ map_index }}{{ map_value }}"},
                    },
                }
            },
            '["a", "b", "c"]',
            '["0a!", "1b!", "2c!"]',
        ),
    ],
    ids=["alone", "in a chain", "in a parallel", "in a map"],
)
async def test_agents_answer_in_sessions_of_their_own(
    client: httpx.AsyncClient, template: Any, text: str, shown: str
) -> None:
    answered = await answer(client, template, text)
    assert (answered["response"], answered["error"]) == (shown, None)


async def test_an_agent_that_fails_fails_the_step_and_a_retry_asks_another(
    client: httpx.AsyncClient, database: Database
) -> None:
    template = {"parallel": {"a": CLERK, "b": dict(CLERK)}}
    await post(client, "apply", agent("clerk", "{{what}}", "what"))
    await post(client, "apply", flow(template))
    profile = {"modelProfile": "echo", "outputSchema": {"type": "object"}}
    await post(client, "apply", agent("clerk", "{{what}}", "what", **profile))
    session = await Session.start(client, "asking")
    failed = await session.send("go", "x")
    assert failed["error"] == "It did not bring about what it was asked for."

    await post(client, "apply", agent("clerk", "{{what}}!", "what"))
    response = await client.post(f"/v1/ai/asking/sessions/{session.id}/retry")
    assert response.status_code == 200, response.text
    while (answered := await session.poll())["next_actions"] == ["poll"]:
        pass
    assert answered["response"] == '{"a": "x!", "b": "x!"}'
    running = "SELECT count(*) FROM session WHERE invocation_id IS NOT NULL"
    assert await database.pool.fetchval(running) == 0


async def test_what_is_wrong_with_a_call_is_said_when_it_is_applied(
    client: httpx.AsyncClient,
) -> None:
    await post(client, "apply", agent("clerk", "{{what}}!", "what"))
    wrong = {"agent": "clerk", "values": {"who": "x"}}
    response = await send(client, "apply", flow({"chain": ["x", wrong]}))
    assert response.status_code == 400
    place = ["spec", "templates", "working", "chain", 1, "values"]
    assert response.json()["errors"] == [
        {"loc": [*place, "who"], "msg": "the agent has no such variable"},
        {"loc": place, "msg": "variable 'what' needs a value"},
    ]
    response = await send(client, "apply", flow({"agent": "nobody", "values": [], "wait": 1}))
    assert response.status_code == 400
    faults = {tuple(error["loc"][3:]) for error in response.json()["errors"]}
    assert faults == {("wait",), ("values",)}
    response = await send(client, "apply", flow({"agent": "nobody"}))
    assert response.status_code == 400
    [fault] = response.json()["errors"]
    assert fault["loc"] == ["spec", "templates", "working", "agent"]


async def test_a_model_calls_tools_in_a_session_of_its_own(
    client: httpx.AsyncClient, database: Database
) -> None:
    template = {
        "invoke": "script",
        "template": '- {role: system, content: Be brief.}\n- {role: user, content: "call clerk '
        '{\\"what\\": \\"{{ actor_input }}\\"}\\nthen\\nIt said so."}',
        "tools": [{"type": "agent", "agent": "clerk"}],
    }
    answered = await answer(client, {"chain": [template, "{{ previous_result }} Done."]}, "One")
    assert (answered["response"], answered["error"]) == ("It said so. Done.", None)
    assert await database.pool.fetchval("SELECT max(depth) FROM session") == 2


async def test_what_is_wrong_with_the_tools_of_a_model_is_said_when_they_are_applied(
    client: httpx.AsyncClient,
) -> None:
    async def faults(**fields: Any) -> list[tuple[Any, ...]]:
        template = {"invoke": "llm", "template": "x", **fields}
        response = await send(client, "apply", flow(template))
        assert response.status_code == 400
        return [tuple(error["loc"][3:]) for error in response.json()["errors"]]

    assert await faults(tools=[{"type": "agent"}]) == [("tools", 0, "agent")]
    assert await faults(tools=["a"], retries=1) == [("retries",)]
    assert await faults(tools=["a"], invoke="verbatim") == [("tools",)]
    assert await faults(tools=[]) == [("tools",)]
    assert await faults(tools=["nothing"]) == [("tools", 0)]

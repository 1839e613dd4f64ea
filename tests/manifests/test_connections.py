"""Flows that use Providers, ApiConnections and Secrets, prompted over HTTP, with a real worker."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, parse_qsl

import httpx
import pytest
import yaml
from fastapi import FastAPI
from pydantic import SecretStr

from app.access.crypto import DecryptionError, Vault
from app.manifests.rotation import rotate_secrets
from tests.support.http_server import HttpServer, Says
from tests.support.openai_server import OpenAiServer, Reply

KEY = "sk-secret-0123456789"
NEW_KEY = "k2:" + "B" * 43 + "="


def document(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name}
    return {"apiVersion": "statewright/v1", "kind": kind, "metadata": metadata, "spec": spec}


def product(template: dict[str, Any], **resources: Any) -> list[dict[str, Any]]:
    """A flow with one invoker state, an agent that runs it, and what they name."""
    states = {
        "waiting": {"initial": True, "transitions": [{"event": "ask", "target": "working"}]},
        "working": {"transitions": [{"event": "done", "target": "waiting"}]},
    }
    templates = {"waiting": "{{ actor_input }}", "working": template}
    said = [{"role": "user", "content": [{"text": "{{prompt}}"}]}]
    agent = {"requestTemplate": {"messages": said}, "variables": [{"name": "prompt"}], "flow": "f"}
    return [
        document("Secret", "key", {"config": {"value": KEY}}),
        *(document(kind, "used", spec) for kind, spec in resources.items()),
        document("Flow", "f", {"statechart": {"states": states}, "templates": templates}),
        document("Agent", "Helper", agent),
    ]


def provider(model: OpenAiServer) -> dict[str, Any]:
    parameters = {"maxTokens": 7, "temperature": 0.5}
    url = model.base_url
    return {
        "type": "openai",
        "baseUrl": url,
        "model": "m",
        "apiKey": "key",
        "parameters": parameters,
    }


async def apply(client: httpx.AsyncClient, *documents: dict[str, Any]) -> None:
    response = await client.post("/api/v1/cli/apply/", content=yaml.safe_dump_all(documents))
    assert response.status_code == 200, response.text


async def faults(client: httpx.AsyncClient, *documents: dict[str, Any]) -> list[dict[str, Any]]:
    """What is wrong with documents that are refused."""
    response = await client.post("/api/v1/cli/apply/", content=yaml.safe_dump_all(documents))
    assert response.status_code == 400, response.text
    found: list[dict[str, Any]] = response.json()["errors"]
    return found


async def prompt(client: httpx.AsyncClient, text: str, name: str = "Helper") -> httpx.Response:
    return await client.post(f"/api/v1/cli/prompt/{name}/", json={"prompt": text})


async def logs(client: httpx.AsyncClient, kind: str, name: str) -> list[dict[str, Any]]:
    response = await client.post(f"/api/v1/cli/logs/{kind}/", params={"name": name})
    items: list[dict[str, Any]] = response.json()["data"]["data"]["items"]
    return items


async def test_a_provider_answers_a_prompt(
    client: httpx.AsyncClient, worker: None, model: OpenAiServer
) -> None:
    model.script(Reply(text="forty-two"))
    template = {"invoke": "used", "template": "{{ actor_input }}", "config": {"model": "other"}}
    await apply(client, *product(template, Provider=provider(model)))

    response = await prompt(client, "What is it?")

    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["data"]["response"] == "forty-two"
    assert answer["data"]["status"] == "waiting"
    assert answer["message"] == "Agent Helper prompted successfully"
    (request,) = model.requests
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.body["model"] == "other"
    assert request.body["messages"][0]["content"] == "What is it?"
    assert request.body["temperature"] == 0.5

    described = await client.post("/api/v1/cli/describe/secret/?name=key")
    used = datetime.fromisoformat(described.json()["data"]["status"]["lastUsed"])
    assert used <= datetime.now(UTC)

    session_id = answer["data"]["session_id"]
    session_logs = await logs(client, "session", session_id)
    assert [item["type"] for item in session_logs].count("step") == 1
    assert "done: working → waiting" in [item["text"] for item in session_logs]
    agent_logs = await logs(client, "agent", "Helper")
    assert {"journal", "event", "step"} <= {item["type"] for item in agent_logs}
    for shown in (response.text, json.dumps(session_logs), json.dumps(agent_logs)):
        assert KEY not in shown


async def test_a_provider_on_azure_gets_its_version_its_key_and_asks_for_no_stream(
    client: httpx.AsyncClient, worker: None, model: OpenAiServer
) -> None:
    model.script(Reply(text="forty-two"))
    base_url = f"{model.base_url}?api-version=2024-10-21&team=a%20b"
    azure = provider(model) | {"baseUrl": base_url, "stream": False}
    template = {"invoke": "used", "template": "{{ actor_input }}"}
    await apply(client, *product(template, Provider=azure))

    response = await prompt(client, "What is it?")

    assert response.json()["data"]["response"] == "forty-two", response.text
    (request,) = model.requests
    query = parse_qs(request.query)
    assert request.path == "/v1/chat/completions"
    assert query == {"api-version": ["2024-10-21"], "team": ["a b"]}
    assert request.headers["api-key"] == KEY
    assert "authorization" not in request.headers
    assert not request.body.get("stream")


CONNECTION = {
    "authMethod": "token",
    "apiKey": "key",
    "timeout": 5,
    "headers": {"X-Team": "a", "X-Api-Key": {"secret": "key"}},
}


def http_template(**config: Any) -> dict[str, Any]:
    config = {"connection": "used", "method": "PUT", "path": "items", **config}
    return {"invoke": "http", "template": '{"text": {{ actor_input | tojson }}}', "config": config}


async def test_an_api_connection_is_called(
    client: httpx.AsyncClient, worker: None, server: HttpServer
) -> None:
    server.script(Says("stored"))
    connection = {"connection": {**CONNECTION, "baseUrl": f"{server.url}/v2"}}
    headers = {"X-Mine": "1", "x-team": "b", "Authorization": "mine"}
    await apply(client, *product(http_template(headers=headers), ApiConnection=connection))

    answer = (await prompt(client, "hello")).json()

    assert answer["data"]["response"] == "stored", answer
    (got,) = server.requests
    assert (got.method, got.url, got.body) == ("PUT", "/v2/items", '{"text": "hello"}')
    assert got.headers["authorization"] == f"Bearer {KEY}"
    assert (got.headers["x-team"], got.headers["x-mine"]) == ("a", "1")
    assert got.headers["x-api-key"] == KEY
    assert got.headers["idempotency-key"].startswith("stp_")


@pytest.mark.parametrize("config", [{"base_url": "http://evil.example"}, {"egress_allow": []}])
async def test_a_template_cannot_lead_credentials_elsewhere(
    client: httpx.AsyncClient, config: dict[str, Any]
) -> None:
    connection = {"connection": {**CONNECTION, "baseUrl": "http://shop.example"}}
    documents = product(http_template(**config), ApiConnection=connection)

    (fault,) = await faults(client, *documents)

    assert fault["loc"][2:] == ["spec", "templates", "working", "config", *config]


async def test_path_query_and_headers_of_a_request_are_templates(
    client: httpx.AsyncClient, worker: None, server: HttpServer
) -> None:
    connection = {"connection": {**CONNECTION, "baseUrl": f"{server.url}/v2"}}
    template = http_template(
        method="GET",
        path="/orders/{{ parsed_actor_input.id }}/items?kind={{ parsed_actor_input.kind }}",
        query={"from": "{{ session_id[:3] }}", "all": True, "page": 2},
        headers={"X-Kind": "{{ parsed_actor_input.kind }}", "Authorization": "{{ actor_input }}"},
    )
    template["template"] = '{"q": "a b", "in": {"n": [1, null]}, "tag": ["x", "y"], "none": null}'
    await apply(client, *product(template, ApiConnection=connection))

    await prompt(client, '{"id": "a/b?c#d", "kind": "x&y=z"}')

    (got,) = server.requests
    path, _, query = got.url.partition("?")
    assert path == "/v2/orders/a%2Fb%3Fc%23d/items"
    assert sorted(parse_qsl(query)) == [
        ("all", "true"),
        ("from", "ath"),
        ("in", '{"n": [1, null]}'),
        ("kind", "x&y=z"),
        ("page", "2"),
        ("q", "a b"),
        ("tag", "x"),
        ("tag", "y"),
    ]
    assert (got.headers["x-kind"], got.headers["authorization"]) == ("x&y=z", f"Bearer {KEY}")


async def test_a_template_signs_in_nowhere_by_itself(
    client: httpx.AsyncClient, worker: None, server: HttpServer
) -> None:
    connection = {"connection": {"baseUrl": server.url, "authMethod": "none"}}
    template = http_template(headers={"authorization": "mine", "X-Mine": "1"})
    await apply(client, *product(template, ApiConnection=connection))

    await prompt(client, "hello")

    (got,) = server.requests
    assert "authorization" not in got.headers
    assert got.headers["x-mine"] == "1"


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ("..", "in the path comes to '..'"),
        ("", "in the path comes to ''"),
        ("../../admin", "must not hold . or .. segments"),
    ],
)
async def test_data_leads_a_request_to_no_other_path(
    client: httpx.AsyncClient, worker: None, server: HttpServer, order: str, said: str
) -> None:
    connection = {"connection": {**CONNECTION, "baseUrl": server.url}}
    template = http_template(method="GET", path="/orders/{{ parsed_actor_input.id }}")
    template["template"] = ""
    await apply(client, *product(template, ApiConnection=connection))

    refused = await prompt(client, json.dumps({"id": order}))

    assert (refused.status_code, server.requests) == (502, [])
    texts = [item["text"] for item in await logs(client, "session", refused.json()["session_id"])]
    assert any(said in text for text in texts), texts


@pytest.mark.parametrize(
    ("template", "place"),
    [
        (http_template(method="FETCH"), ["method"]),
        (http_template(path="../x"), ["path"]),
        (http_template(path="/a/%2e%2E/x"), ["path"]),
        (http_template(path="/a b"), ["path"]),
        (http_template(path="/a/{{ x }"), ["path"]),
        (http_template(path="/a/{% if x %}b{% endif %}"), ["path"]),
        (http_template(path=["a"]), ["path"]),
        (http_template(query=["a"]), ["query"]),
        (http_template(query={"a": "{{ x"}), ["query", "a"]),
        (http_template(headers={"Host": "x"}), []),
        (http_template(headers={"X-A": "{{ x"}), ["headers", "X-A"]),
        (http_template(headers={"X-A": 1}), ["headers", "X-A"]),
        (http_template(connection=None), ["connection"]),
        (http_template(colour="red"), ["colour"]),
        ({"invoke": "verbatim", "template": "x", "config": {"a": 1}}, ["a"]),
        (
            {"invoke": "echo", "template": "x", "config": {"delay_seconds": "soon"}},
            ["delay_seconds"],
        ),
        ({"invoke": "llm", "template": "x", "config": {"temperature": 1}}, ["temperature"]),
        ({"invoke": "llm", "template": "x", "config": {"egress_allow": []}}, []),
        (
            {"invoke": "llm", "template": "x", "config": {"parameters": {"top_p": 7}}},
            ["parameters", "top_p"],
        ),
    ],
)
async def test_the_config_of_an_invoker_is_checked_when_its_flow_is_applied(
    client: httpx.AsyncClient, template: dict[str, Any], place: list[str]
) -> None:
    connection = {"connection": {**CONNECTION, "baseUrl": "http://shop.example"}}

    found = await faults(client, *product(template, ApiConnection=connection))

    where = ["documents", 2, "spec", "templates", "working", "config", *place]
    assert found[0]["loc"][: len(where)] == where, found


async def test_a_secret_that_expired_is_not_used(
    client: httpx.AsyncClient, worker: None, model: OpenAiServer
) -> None:
    template = {"invoke": "used", "template": "{{ actor_input }}"}
    await apply(client, *product(template, Provider=provider(model)))
    gone = {"config": {"expirationDate": "2020-01-01T00:00:00Z"}}
    await apply(client, document("Secret", "key", gone))

    refused = await prompt(client, "hello")

    assert refused.status_code == 502
    session_id = refused.json()["session_id"]
    assert model.requests == []
    texts = [item["text"] for item in await logs(client, "session", session_id)]
    assert any("Secret 'key' has expired" in text for text in texts), texts


async def test_what_a_flow_names_is_not_deleted(
    client: httpx.AsyncClient, server: HttpServer
) -> None:
    connection = {"connection": {**CONNECTION, "baseUrl": server.url}}
    await apply(client, *product(http_template(), ApiConnection=connection))

    async def referrers(kind: str, name: str) -> Any:
        response = await client.post(f"/api/v1/cli/delete/{kind}/", params={"name": name})
        return response.status_code, response.json().get("referrers")

    assert await referrers("secret", "key") == (409, ["ApiConnection used"])
    assert await referrers("apiconnection", "used") == (409, ["Flow f"])
    assert await referrers("flow", "f") == (409, ["Agent Helper"])
    for kind, name in (("agent", "Helper"), ("flow", "f"), ("apiconnection", "used")):
        assert (await referrers(kind, name))[0] == 200


async def test_undeployed_agents_are_not_prompted(client: httpx.AsyncClient, worker: None) -> None:
    template = {"invoke": "verbatim", "template": "{{ actor_input }}"}
    await apply(client, *product(template))

    await client.post("/api/v1/cli/undeploy/agent/?name=Helper")
    response = await prompt(client, "hello")
    assert (response.status_code, response.json()["thing"]) == (400, "Agent")
    await client.post("/api/v1/cli/deploy/agents/?name=Helper")
    assert (await prompt(client, "hello")).json()["data"]["response"] == "hello"


async def test_a_prompt_is_a_variable_or_the_last_message(
    client: httpx.AsyncClient, worker: None
) -> None:
    said = [{"role": "user", "content": [{"text": "Be brief about {{topic}}."}]}]
    spec = {"requestTemplate": {"messages": said}, "variables": [{"name": "topic"}]}
    await apply(client, document("Agent", "brief", spec))

    body = {"prompt": "Statecharts?", "values": {"topic": "flows"}}
    answered = await client.post("/api/v1/cli/prompt/brief/", json=body)
    assert answered.json()["data"]["response"] == "[echo model] You said: Statecharts?"

    for wrong in ({}, {"prompt": ""}, {"prompt": "x"}, {"prompt": "x", "values": {"y": "z"}}, []):
        response = await client.post("/api/v1/cli/prompt/brief/", json=wrong)
        assert response.status_code == 400, (wrong, response.text)


@pytest.mark.parametrize("prompt_wait", [0.2])
async def test_an_answer_that_does_not_come_is_a_504(client: httpx.AsyncClient) -> None:
    """No worker runs."""
    await apply(client, *product({"invoke": "verbatim", "template": "x"}))

    response = await prompt(client, "hello")

    assert response.status_code == 504
    session_id = response.json()["session_id"]
    described = await client.post(f"/api/v1/cli/describe/session/?name={session_id}")
    assert described.json()["data"]["status"]["running"] is True


async def test_a_prompt_at_an_api_that_stops_says_so(
    api: FastAPI, client: httpx.AsyncClient
) -> None:
    """No worker runs."""
    await apply(client, *product({"invoke": "verbatim", "template": "x"}))
    prompting = asyncio.create_task(prompt(client, "hello"))
    while not await api.state.database.pool.fetchval("SELECT count(*) FROM session"):  # noqa: ASYNC110 - a row of the API
        await asyncio.sleep(0.01)

    api.state.runtime.wakeups.end_waits()

    for response in (await prompting, await prompt(client, "too late")):
        problem = response.json()
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert problem["type"] == "urn:statewright:problem:stopping"
        assert "is stopping" in problem["detail"]
        described = await client.post(f"/api/v1/cli/describe/session/?name={problem['session_id']}")
        assert described.json()["data"]["status"]["running"] is True
    texts = [entry["text"] for entry in await logs(client, "agent", "Helper")]
    assert sum("is stopping" in text for text in texts) == 2


async def test_a_turn_that_fails_is_no_answer(client: httpx.AsyncClient, worker: None) -> None:
    broken = {"invoke": "http", "template": "{}", "config": {"connection": "nowhere"}}
    connection = document(
        "ApiConnection", "nowhere", {"connection": {"baseUrl": "http://127.0.0.1:9", "timeout": 1}}
    )
    await apply(client, connection, *product(broken | {"retries": 0}))

    response = await prompt(client, "my own words")

    assert response.status_code == 502
    problem = response.json()
    assert problem["error"]
    assert problem["session_id"].startswith("ath_")
    assert "my own words" not in response.text


async def test_rotation_encrypts_anew(client: httpx.AsyncClient, api: FastAPI) -> None:
    database, settings = api.state.database, api.state.settings
    await apply(client, document("Secret", "key", {"config": {"value": KEY}}))
    keys = [SecretStr(NEW_KEY), *settings.security.encryption_keys]

    assert await rotate_secrets(database, Vault(keys)) == 1
    assert await rotate_secrets(database, Vault(keys)) == 0
    assert await database.pool.fetchval("SELECT key_id FROM secret") == "k2"
    with pytest.raises(DecryptionError):
        await rotate_secrets(database, Vault(settings.security.encryption_keys))


async def test_a_flow_that_comes_again_is_not_the_old_one(
    client: httpx.AsyncClient, worker: None
) -> None:
    for text in ("first", "second"):
        await apply(client, *product({"invoke": "verbatim", "template": text}))
        assert (await prompt(client, "go")).json()["data"]["response"] == text
        for kind, name in (("agent", "Helper"), ("flow", "f")):
            await client.post(f"/api/v1/cli/delete/{kind}/", params={"name": name})
        assert (await client.get("/v1/ai/flows/f")).status_code == 404


async def test_keys_have_no_place_in_flows(client: httpx.AsyncClient) -> None:
    config = {"provider": "openai", "model": "m", "api_key": KEY}
    documents = product({"invoke": "llm", "template": "x", "config": config})
    response = await client.post("/api/v1/cli/apply/", content=yaml.safe_dump_all(documents))

    assert response.status_code == 400
    assert KEY not in response.text

"""Manifests over HTTP: every kind's example goes round, and what the answers look like."""

import json
from dataclasses import fields
from typing import Any

import httpx
import pytest
import yaml
from fastapi import FastAPI

from app.access.caller import KeyScope
from app.flows.template import RetryPolicy
from app.manifests.registry import all_brokers
from tests.support.http import NewKey
from tests.support.manifests import manifest, many, post, send

KINDS = sorted(broker.kind for broker in all_brokers())
READ_ONLY = {"Session"}
NEEDS = {"Tool": "ApiConnection"}  # the example of the one names that of the other
FIXED = {"Account"}  # there is always the caller's own, which cannot be made or deleted


@pytest.fixture
async def stranger(client: httpx.AsyncClient, new_key: NewKey) -> dict[str, str]:
    """The header of an admin of another org."""
    key = await new_key(org="Other", user="eve@other.example")
    return {"Authorization": f"Token {key.api_key}"}


async def example_of(client: httpx.AsyncClient, kind: str) -> dict[str, Any]:
    """The example of a kind; what it names is there."""
    if kind in NEEDS:
        await post(client, "apply", all_brokers().find(NEEDS[kind]).example)
    example: dict[str, Any] = (await post(client, f"example-manifest/{kind}"))["data"]
    return example


@pytest.mark.parametrize("kind", sorted(set(KINDS) - READ_ONLY))
async def test_the_example_of_each_kind_goes_round(client: httpx.AsyncClient, kind: str) -> None:
    example = await example_of(client, kind)
    name = example["metadata"]["name"]

    applied = await post(client, "apply", yaml.safe_dump(example))
    assert applied["data"]["operation"] == ("updated" if kind in FIXED else "created")
    assert applied["data"]["diff"]
    assert applied["message"] == f"{kind} {name} applied successfully"
    assert (applied["api"], applied["thing"]) == ("statewright/v1", kind)
    assert applied["metadata"]["command"] == "apply"

    described = (await post(client, f"describe/{kind.lower()}s", name=name))["data"]
    assert list(described) == ["apiVersion", "kind", "metadata", "spec", "status"]
    again = (await post(client, "apply", described))["data"]
    assert (again["operation"], again["diff"]) == ("unchanged", [])
    assert (await post(client, "apply", example))["data"]["operation"] == "unchanged"

    table = (await post(client, f"get/{kind.upper()}", name=name))["data"]
    assert table["metadata"] == {"count": 1}
    assert table["kind"] == kind
    titles = [title["name"] for title in table["data"]["titles"]]
    assert [list(item) for item in table["data"]["items"]] == [titles]
    assert table["data"]["items"][0]["name"] == name

    logs = (await post(client, f"logs/{kind}", name=name))["data"]["data"]["items"]
    assert [item["text"] for item in logs[:2]] == [
        f"apply: {applied['data']['operation']}",
        "apply: unchanged",
    ]
    assert logs[0]["key"] == applied["metadata"]["key"]

    if kind not in FIXED:
        deleted = await post(client, f"delete/{kind}", name=name)
        assert deleted["message"] == f"{kind} {name} deleted successfully"
        assert (await send(client, f"describe/{kind}", name=name)).status_code == 404


@pytest.mark.parametrize("kind", KINDS)
async def test_the_schema_of_each_kind_is_whole(client: httpx.AsyncClient, kind: str) -> None:
    schema = (await post(client, f"json-schema/{kind}"))["data"]

    assert schema["properties"]["kind"] == {"const": kind}
    text = json.dumps(schema)
    for reference in {part.split('"')[0] for part in text.split('"#/$defs/')[1:]}:
        assert reference in schema["$defs"], reference


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_anothers_is_not_there(
    client: httpx.AsyncClient, stranger: dict[str, str], kind: str
) -> None:
    if kind not in READ_ONLY:
        example = await example_of(client, kind)
        await post(client, "apply", example)
        name = example["metadata"]["name"]
    else:
        body = {"messages": [{"role": "user", "content": [{"text": "hi"}]}], "visibility": "org"}
        started = await client.post("/v1/ai/threads", json=body)
        name = started.json()["data"]["thread_id"]
        await post(client, f"describe/{kind}", name=name)

    client.headers.update(stranger)
    for verb in ("describe", "get", "delete", "logs"):
        response = await send(client, f"{verb}/{kind}", name=name)
        assert response.status_code == 404, (verb, response.text)
    if kind == "Agent":
        for verb in ("deploy", "undeploy"):
            assert (await send(client, f"{verb}/{kind}", name=name)).status_code == 404
        assert (await send(client, f"prompt/{name}", {"prompt": "hi"})).status_code == 404
    assert (await post(client, f"get/{kind}s"))["data"]["metadata"]["count"] == (
        1 if kind in {"Account", "User", "AuthToken"} else 0
    )


async def test_verbs_that_a_kind_lacks(client: httpx.AsyncClient) -> None:
    async def status(path: str, body: Any = None, **params: Any) -> int:
        return (await send(client, path, body, **params)).status_code

    assert await status("deploy/secret", name="x") == 501
    assert await status("undeploy/dataset", name="x") == 501
    assert await status("apply", manifest("Session", "ath_1")) == 405
    assert await status("delete/account", name="Acme") == 405
    assert await status("get/plugin") == 501
    assert await status("apply", manifest("Plugin", "x")) == 501
    assert await status("get/nonsense") == 404
    assert await status("describe/agent") == 400


async def test_an_error_has_what_an_answer_has(client: httpx.AsyncClient) -> None:
    response = await send(client, "describe/agents", name="nobody")

    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == 404
    assert problem["description"] == problem["detail"] == "There is no Agent 'nobody'."
    assert (problem["api"], problem["thing"]) == ("statewright/v1", "Agent")
    assert problem["metadata"]["command"] == "describe"
    assert problem["metadata"]["key"].startswith("jrn_")
    bad_query = (await send(client, "get/agents", i="many")).json()
    assert (bad_query["status"], bad_query["thing"]) == (400, "Agent")
    assert bad_query["metadata"] == {"command": "get", "key": None}
    client.headers.pop("Authorization")
    unknown = (await send(client, "get/agents")).json()
    assert (unknown["status"], unknown["api"]) == (401, "statewright/v1")


async def test_each_verb_asks_for_its_scope(client: httpx.AsyncClient, new_key: NewKey) -> None:
    async def use(*scopes: KeyScope) -> None:
        key = await new_key(scopes=scopes)
        client.headers["Authorization"] = f"Token {key.api_key}"

    await use(KeyScope.READ)
    assert (await send(client, "apply", manifest("Dataset", "d"))).status_code == 403
    await post(client, "get/datasets")
    await use(KeyScope.WRITE)
    await post(client, "apply", manifest("Dataset", "d"))
    user = manifest("User", "bob@acme.example")
    refused = await send(client, "apply", user)
    assert (refused.status_code, refused.json()["thing"]) == (403, "User")
    assert (await send(client, "delete/user", name="ann@acme.example")).status_code == 403
    await use(KeyScope.ADMIN)
    await post(client, "apply", user)


async def test_lists_are_sorted_and_bounded(client: httpx.AsyncClient) -> None:
    await post(client, "apply", many(*(manifest("Dataset", f"d{n}") for n in (2, 0, 1))))

    async def names(**query: Any) -> list[str]:
        table = (await post(client, "get/datasets", **query))["data"]
        assert table["kwargs"] == {"i": 10, **query}
        return [item["name"] for item in table["data"]["items"]]

    assert await names() == ["d0", "d1", "d2"]
    assert await names(desc="name", i=2) == ["d2", "d1"]
    assert await names(asc="created") == ["d2", "d0", "d1"]
    wrong = await send(client, "get/datasets", asc="colour")
    assert wrong.json()["errors"][0]["loc"] == ["query", "asc"]


async def test_one_agent_two_doors(client: httpx.AsyncClient) -> None:
    await post(client, "apply", all_brokers().find("agent").example)
    record = (await client.get("/v1/ai/agents/name/example-agent")).json()["data"]
    assert record["request_template"]["system_prompt"] == "You are a patient teacher."

    change = {"description": "changed here"}
    await client.put(f"/v1/ai/agents/{record['agent_id']}", json=change)
    described = (await post(client, "describe/agent", name="example-agent"))["data"]
    assert described["metadata"]["description"] == "changed here"
    assert described["status"]["revision"] == 2

    described["metadata"]["labels"] = {"team": "a"}
    assert (await post(client, "apply", described))["data"]["operation"] == "updated"
    record = (await client.get(f"/v1/ai/agents/{record['agent_id']}")).json()["data"]
    assert record["revision"] == 3


async def test_a_token_is_shown_once_and_works(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient
) -> None:
    example = yaml.safe_load(all_brokers().find("authtoken").example)
    dry = await post(client, "apply", example, dry_run=True)
    assert "value" not in dry["data"]["manifest"]["status"]
    made = (await post(client, "apply", example))["data"]["manifest"]["status"]
    again = await post(client, "apply", example)
    assert made["value"] not in json.dumps(again)

    admin = client.headers["Authorization"]
    client.headers["Authorization"] = f"Bearer {made['value']}"
    who = (await post(client, "whoami"))["data"]
    assert who["account"]["name"] == "Acme"
    assert who["user"]["email"] == "robot@example.com"
    assert who["authToken"] == {"id": made["id"], "scopes": ["read"]}

    client.headers["Authorization"] = admin
    used = await send(client, "delete/user", name="robot@example.com")
    assert used.json()["referrers"] == ["AuthToken example-token"]
    await post(client, "delete/authtoken", name="example-token")
    client.headers["Authorization"] = f"Bearer {made['value']}"
    assert (await send(client, "whoami")).status_code == 401
    client.headers["Authorization"] = admin
    await post(client, "delete/user", name="robot@example.com")


async def test_status_and_version_say_what_runs(client: httpx.AsyncClient) -> None:
    assert (await post(client, "status"))["data"] == {"postgresql": "ok", "redis": "ok"}
    assert (await post(client, "version"))["data"]["apiVersion"] == "statewright/v1"


async def test_every_verb_is_in_the_journal(client: httpx.AsyncClient, api: FastAPI) -> None:
    key = (await post(client, "apply", manifest("Dataset", "d")))["metadata"]["key"]
    await send(client, "apply", "kind: [")
    await send(client, "deploy/dataset", name="d")
    await post(client, "version")

    rows = await api.state.database.pool.fetch(
        "SELECT id, command, kind, name, status, duration_ms FROM journal ORDER BY created"
    )
    assert rows[0]["id"] == key
    assert [tuple(row)[1:5] for row in rows] == [
        ("apply", "Dataset", "d", 200),
        ("apply", None, None, 400),
        ("deploy", "Dataset", "d", 501),
        ("version", None, None, 200),
    ]
    assert all(row["duration_ms"] > 0 for row in rows)


async def test_logs_hold_changes_and_no_reads(client: httpx.AsyncClient) -> None:
    await post(client, "apply", manifest("Dataset", "d"))
    for _ in range(3):
        await post(client, "describe/dataset", name="d")
        await post(client, "get/dataset", name="d")
        await post(client, "logs/dataset", name="d")
    await send(client, "deploy/dataset", name="d")

    logs = (await post(client, "logs/dataset", name="d", i=2))["data"]["data"]["items"]
    assert [item["text"].partition(":")[0] for item in logs] == ["apply", "deploy"]


@pytest.mark.parametrize(
    "body", ['{"prompt": "a"}\n---\n{"prompt": "b"}', "a: 1\n---\nb: 2", "[{}, {}]"]
)
async def test_a_prompt_is_one_document(client: httpx.AsyncClient, body: str) -> None:
    await post(client, "apply", all_brokers().find("agent").example)
    refused = await send(client, "prompt/example-agent", body)

    assert refused.status_code == 400
    assert refused.json()["errors"][0]["loc"][0] == "body"


async def test_the_schema_of_flows_tells_of_retries(client: httpx.AsyncClient) -> None:
    schema = (await post(client, "json-schema/flow"))["data"]
    templates = schema["properties"]["spec"]["properties"]["templates"]

    (shown,) = templates["examples"]
    assert set(shown["answering"]["retry"]) == {field.name for field in fields(RetryPolicy)}
    document = (await post(client, "example-manifest/flow"))["data"]
    document["spec"]["templates"] |= shown
    states = document["spec"]["statechart"]["states"]
    states["approving"] = {"transitions": [{"event": "approved", "target": "waiting"}]}
    states["waiting"]["transitions"].append({"event": "approve", "target": "approving"})
    await post(client, "apply", document)
    described = (await post(client, "describe/flow", name=document["metadata"]["name"]))["data"]
    assert described["spec"]["templates"] == document["spec"]["templates"]


async def test_a_kind_says_which_kinds_it_refers_to(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or else what one of its resources names could be deleted."""
    broker = all_brokers().find("Tool")
    await post(client, "apply", all_brokers().find("ApiConnection").example)
    monkeypatch.setattr(type(broker), "refers_to", frozenset())

    assert (await send(client, "apply", broker.example)).status_code == 500

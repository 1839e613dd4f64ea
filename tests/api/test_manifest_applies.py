"""Applying manifests over HTTP: whole or not at all, one after the other, and what changed."""

import asyncio
import time

import asyncpg
import httpx
import pytest
import yaml

from app.manifests.registry import all_brokers
from app.settings import Settings
from tests.support.manifests import manifest, many, post, provider, secret, send


async def test_a_change_says_what_it_changes(client: httpx.AsyncClient) -> None:
    await post(client, "apply", manifest("Dataset", "d", {"properties": {"a": 1, "b": [1, 2]}}))

    changed = manifest("Dataset", "d", {"properties": {"b": [1, 3], "c": None}}, tags=["x"])
    dry = (await post(client, "apply", changed, dry_run="true"))["data"]
    done = (await post(client, "apply", changed))["data"]

    assert dry["diff"] == done["diff"]
    assert (dry["operation"], done["operation"]) == ("updated", "updated")
    assert {(c["path"], c["op"], str(c["from"]), str(c["to"])) for c in done["diff"]} == {
        ("/metadata/tags", "add", "None", "['x']"),
        ("/spec/properties/a", "remove", "1", "None"),
        ("/spec/properties/b/1", "replace", "2", "3"),
        ("/spec/properties/c", "add", "None", "None"),
    }
    assert done["manifest"]["spec"] == {"properties": {"b": [1, 3], "c": None}}
    assert done["manifest"]["metadata"]["resourceVersion"] == "2"


async def test_all_faults_of_a_flow_are_told_at_once(client: httpx.AsyncClient) -> None:
    states = {"a": {"initial": True, "transitions": [{"event": "go", "target": "z"}]}}
    flow = manifest("Flow", "wrong", {"statechart": {"states": states}, "extra": 1})

    refused = await send(client, "apply", flow)

    assert refused.status_code == 400
    places = [fault["loc"] for fault in refused.json()["errors"]]
    assert ["spec", "extra"] in places
    assert ["spec", "templates"] in places
    assert ["spec", "statechart", "states", "a", "transitions", 0, "target"] in places


async def test_what_a_flow_s_author_should_look_at_is_told(client: httpx.AsyncClient) -> None:
    states = {"a": {"initial": True, "transitions": [{"event": "go", "target": "a"}]}, "b": {}}
    spec = {"statechart": {"states": states}, "templates": {"a": "x", "b": "y"}}
    flow = manifest("Flow", "warned", spec)

    applied = (await post(client, "apply", flow))["data"]

    places = [warning["loc"] for warning in applied["warnings"]]
    assert ["spec", "statechart", "states", "b"] in places
    assert any("cannot be reached" in warning["msg"] for warning in applied["warnings"])
    quiet = await post(client, "apply", manifest("Dataset", "d", {}))
    assert quiet["data"]["warnings"] == []


async def test_a_dry_run_saves_nothing(client: httpx.AsyncClient) -> None:
    dry = await post(client, "apply", many(secret(), provider()), dry_run=True)

    assert [item["operation"] for item in dry["data"]["items"]] == ["created", "created"]
    for kind, name in (("Secret", "key"), ("Provider", "models")):
        assert (await send(client, f"describe/{kind}", name=name)).status_code == 404


async def test_a_dry_run_deletes_and_deploys_nothing(client: httpx.AsyncClient) -> None:
    await post(client, "apply", many(secret(), provider()))
    await post(client, "apply", all_brokers().find("agent").example)

    tried = await post(client, "delete/provider", name="models", dry_run=True)
    used = await send(client, "delete/secret", name="key", dry_run=True)
    gone = await send(client, "delete/provider", name="nobody", dry_run=True)
    await post(client, "undeploy/agent", name="example-agent", dry_run="true")

    assert tried["message"] == "Provider models deleted successfully (dry run)"
    assert (used.status_code, gone.status_code) == (409, 404)
    provider_now = (await post(client, "describe/provider", name="models"))["data"]
    assert provider_now["metadata"]["resourceVersion"] == "1"
    agent = (await post(client, "describe/agent", name="example-agent"))["data"]
    assert agent["status"]["deployed"]
    [entry] = (await post(client, "logs/provider", name="models", i=1))["data"]["data"]["items"]
    assert entry["text"] == "delete (dry run)"

    await post(client, "undeploy/agent", name="example-agent", dry_run="false")
    await post(client, "deploy/agent", name="example-agent", dry_run="true")
    agent = (await post(client, "describe/agent", name="example-agent"))["data"]
    assert not agent["status"]["deployed"]
    await post(client, "delete/provider", name="models", dry_run="false")
    assert (await send(client, "describe/provider", name="models")).status_code == 404


@pytest.mark.parametrize("kind", ["Account", "Session"])
async def test_what_a_kind_lacks_is_refused_in_a_dry_run_too(
    client: httpx.AsyncClient, kind: str
) -> None:
    assert (await send(client, f"deploy/{kind}", name="x", dry_run=True)).status_code == 501


async def test_documents_are_applied_all_or_none(client: httpx.AsyncClient) -> None:
    bad = manifest("Dataset", "c", {"colour": "red"})
    response = await send(
        client, "apply", many(manifest("Dataset", "a"), manifest("Dataset", "b"), bad)
    )

    assert response.status_code == 400
    problem = response.json()
    assert problem["detail"] == "Document 3: spec.colour: unknown field; there are properties"
    assert problem["errors"][0]["loc"] == ["documents", 2, "spec", "colour"]
    assert (await post(client, "get/dataset"))["data"]["data"]["items"] == []


async def test_what_is_named_may_stand_in_a_later_document(client: httpx.AsyncClient) -> None:
    flow = all_brokers().find("flow").example.replace("invoke: llm", "invoke: models")
    agent = all_brokers().find("agent").example + "  flow: example-flow\n"

    applied = await post(client, "apply", f"{agent}---\n{flow}---\n{many(provider(), secret())}")

    items = applied["data"]["items"]
    assert [item["manifest"]["kind"] for item in items] == ["Agent", "Flow", "Provider", "Secret"]
    assert len({item["key"] for item in items}) == 4


async def test_what_is_named_must_be_there(client: httpx.AsyncClient) -> None:
    response = await send(client, "apply", provider(key="sk-live-abcdef"))

    assert response.status_code == 400
    assert response.json()["errors"] == [
        {"loc": ["spec", "apiKey"], "msg": "names no Secret of this org"}
    ]
    assert "sk-live" not in response.text
    assert (await send(client, "describe/provider", name="models")).status_code == 404


async def test_what_is_named_is_not_deleted(client: httpx.AsyncClient) -> None:
    await post(client, "apply", many(secret(), provider("one"), provider("two")))

    response = await send(client, "delete/secret", name="key")
    assert response.status_code == 409
    assert response.json()["referrers"] == ["Provider one", "Provider two"]

    for name in ("one", "two"):
        await post(client, "delete/providers", name=name)
    await post(client, "delete/secret", name="key")


async def test_a_stale_version_is_refused(client: httpx.AsyncClient) -> None:
    first = (await post(client, "apply", manifest("Device", "d")))["data"]["manifest"]
    await post(client, "apply", manifest("Device", "d", {"properties": {"mine": 1}}))

    first["spec"] = {"properties": {"yours": 1}}
    response = await send(client, "apply", first)
    assert response.status_code == 409
    assert "version 2" in response.json()["detail"]
    described = (await post(client, "describe/device", name="d"))["data"]
    assert described["spec"] == {"properties": {"mine": 1}}

    first["metadata"]["resourceVersion"] = 2  # a number will do
    assert (await post(client, "apply", first))["data"]["operation"] == "updated"


async def test_of_applies_at_once_each_is_whole_and_none_is_lost(
    client: httpx.AsyncClient,
) -> None:
    wanted = [{"properties": {"n": n, "twice": 2 * n}} for n in range(1, 7)]
    answers = await asyncio.gather(
        *(post(client, "apply", manifest("Dataset", "d", spec)) for spec in wanted)
    )

    operations = sorted(answer["data"]["operation"] for answer in answers)
    assert operations == ["created"] + ["updated"] * 5
    described = (await post(client, "describe/dataset", name="d"))["data"]
    assert described["spec"] in wanted
    assert described["metadata"]["resourceVersion"] == "6"
    replaced = {
        change["from"]
        for answer in answers
        for change in answer["data"]["diff"]
        if change["path"] == "/spec/properties/n"
    }
    assert replaced | {described["spec"]["properties"]["n"]} == set(range(1, 7))


async def test_of_versioned_applies_at_once_one_wins(client: httpx.AsyncClient) -> None:
    await post(client, "apply", manifest("Dataset", "d"))
    bodies = [
        manifest("Dataset", "d", {"properties": {"n": n}}, resourceVersion="1") for n in range(4)
    ]
    answers = await asyncio.gather(*(send(client, "apply", body) for body in bodies))

    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]


async def test_faults_of_an_agent_have_their_place(client: httpx.AsyncClient) -> None:
    example = yaml.safe_load(all_brokers().find("agent").example)
    example["spec"]["requestTemplate"]["systemPrompt"] = "{{other}}"
    response = await send(client, "apply", example)

    assert response.status_code == 400
    assert response.json()["errors"][0]["loc"] == ["spec", "requestTemplate", "systemPrompt"]


@pytest.mark.parametrize(
    "lock", ["SELECT FROM org FOR UPDATE", "LOCK TABLE journal IN ACCESS EXCLUSIVE MODE"]
)
async def test_a_lock_is_waited_for_once(
    client: httpx.AsyncClient, settings: Settings, lock: str
) -> None:
    """The verb waits, and not its entry in the journal a second time."""
    await post(client, "whoami")
    connection = await asyncpg.connect(settings.database_url)
    async with connection.transaction():
        await connection.execute(lock)
        began = time.monotonic()
        refused = await asyncio.gather(
            send(client, "apply", manifest("Dataset", "d")),
            send(client, "get/datasets"),
            send(client, "status"),
        )
        seconds = time.monotonic() - began
    await connection.close()

    for response in refused:
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert 1.9 < seconds < 3.9  # two waits are four
    assert (await post(client, "apply", manifest("Dataset", "d")))["data"]["operation"] == "created"

"""What the reference's own client sends, and the words that it reads."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tests.support.http import NewKey
from tests.support.manifests import CLI, manifest, many, post, secret, send


async def names(client: httpx.AsyncClient, kind: str, **query: Any) -> list[str]:
    table = (await post(client, f"get/{kind}", **query))["data"]
    return [item["name"] for item in table["data"]["items"]]


async def test_a_list_is_sorted_by_a_column_or_not_at_all(client: httpx.AsyncClient) -> None:
    await post(client, "apply", many(*(manifest("Dataset", f"d{n}") for n in (2, 0, 1))))

    upwards, downwards = ["d0", "d1", "d2"], ["d2", "d1", "d0"]
    assert await names(client, "datasets", i=10, asc="false", desc="false") == upwards
    assert await names(client, "datasets", asc="False", desc="true") == downwards
    assert await names(client, "datasets", asc="true", desc="false") == upwards
    assert await names(client, "datasets", asc="false", desc="name") == downwards
    assert await names(client, "flows", i=10, asc="false", desc="false") == []
    assert (await send(client, "get/datasets", asc="maybe")).status_code == 400


async def test_without_a_name_an_account_is_ones_own(
    client: httpx.AsyncClient, new_key: NewKey
) -> None:
    await new_key(org="Other", user="eve@other.example")

    assert (await post(client, "describe/account"))["data"]["metadata"]["name"] == "Acme"
    await post(client, "apply", manifest("Account", "Acme", description="us"))
    logs = (await post(client, "logs/account"))["data"]["data"]["items"]
    assert [item["text"] for item in logs] == ["apply: updated"]
    assert (await send(client, "describe/user")).status_code == 400


async def test_a_user_is_named_by_username_too(client: httpx.AsyncClient) -> None:
    described = (await post(client, "describe/User", username="ann@acme.example"))["data"]
    assert described["metadata"]["name"] == "ann@acme.example"
    assert await names(client, "user", username="ann@acme.example") == ["ann@acme.example"]
    assert (await send(client, "delete/user", username="nobody@acme.example")).status_code == 404

    both = await send(client, "describe/user", username="a@b", name="a@b")
    other = await send(client, "describe/dataset", username="d")
    for refused in (both, other):
        assert refused.status_code == 400
        assert refused.json()["errors"][0]["loc"] == ["query", "username"]


async def test_keys_go_by_the_reference_s_kind_too(client: httpx.AsyncClient) -> None:
    token = manifest("SmarterAuthToken", "robot", {"user": "robot@acme.example"})
    applied = await post(client, "apply", token)

    assert applied["thing"] == applied["data"]["manifest"]["kind"] == "AuthToken"
    for kind in ("SmarterAuthToken", "smarterauthtokens", "authtoken"):
        assert (await post(client, f"describe/{kind}", name="robot"))["data"]["spec"]["scopes"]


async def test_commands_are_called_as_the_reference_calls_them(client: httpx.AsyncClient) -> None:
    for path in ("example-manifest/flow", "example_manifest/flow", "json-schema/flow"):
        answer = await post(client, path)
        verb = path.partition("/")[0].replace("-", "_")
        assert answer["metadata"]["command"] == verb
    refused = (await send(client, "example-manifest/nothing")).json()
    assert refused["metadata"]["command"] == "example_manifest"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "nothing/", 404),
        ("POST", "describe/", 404),
        ("GET", "", 404),
        ("POST", "describe/a/b/c/", 404),
        ("GET", "describe/agent/", 405),
    ],
)
async def test_unknown_paths_answer_as_verbs_do(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await client.request(method, f"{CLI}/{path}")

    assert answer.status_code == status
    problem = answer.json()
    assert (problem["api"], problem["thing"]) == ("statewright/v1", None)
    assert problem["metadata"] == {"command": path.partition("/")[0], "key": None}
    assert problem["description"] == problem["detail"]
    assert answer.headers.get("allow") == ("POST" if status == 405 else None)
    assert "description" not in (await client.post("/v1/ai/nothing")).json()


async def test_annotations_may_be_a_list_of_mappings_with_one_key(
    client: httpx.AsyncClient,
) -> None:
    listed: Any = [{"a/b": "1"}, {"c": "2"}]
    await post(client, "apply", manifest("Dataset", "d", annotations=listed))

    described = (await post(client, "describe/dataset", name="d"))["data"]
    assert described["metadata"]["annotations"] == {"a/b": "1", "c": "2"}
    twice = manifest("Dataset", "d", annotations=[{"a": "1"}, {"a": "2"}])
    assert (await send(client, "apply", twice)).status_code == 400


@pytest.mark.parametrize("date", ["2099-02-03", "2099-02-03T00:00:00Z"])
async def test_a_date_is_its_first_moment(client: httpx.AsyncClient, date: str) -> None:
    for document in (
        secret(expirationDate=date),
        manifest("AuthToken", "robot", {"user": "r@acme.example", "expirationDate": date}),
    ):
        shown = (await post(client, "apply", document))["data"]["manifest"]["spec"]
        expiry = shown.get("config", shown)["expirationDate"]
        assert expiry.startswith("2099-02-03T00:00:00")
    for wrong in ("2099-02-30", "2099-2-3", "tomorrow"):
        assert (await send(client, "apply", secret(expirationDate=wrong))).status_code == 400


@pytest.mark.parametrize("kind", ["User", "AuthToken"])
async def test_what_is_undeployed_is_refused_until_it_is_deployed(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, kind: str
) -> None:
    token = manifest("AuthToken", "robot", {"user": "robot@acme.example"})
    made = (await post(client, "apply", token))["data"]["manifest"]
    name = {"User": "robot@acme.example", "AuthToken": "robot"}[kind]
    headers = {"Authorization": f"Token {made['status']['value']}"}

    async def status() -> int:
        return (await client.post(f"{CLI}/whoami/", headers=headers)).status_code

    assert await status() == 200
    await post(client, f"undeploy/{kind}", name=name, dry_run="true")
    assert await status() == 200
    await post(client, f"undeploy/{kind}", name=name)
    assert await status() == 401
    described = (await post(client, f"describe/{kind}", name=name))["data"]
    assert described["status"]["deployed"] is False
    await post(client, f"deploy/{kind}", name=name)
    assert await status() == 200


async def test_nobody_undeploys_oneself(client: httpx.AsyncClient) -> None:
    key_id = (await post(client, "whoami"))["data"]["authToken"]["id"]

    for kind, name in (("user", "ann@acme.example"), ("authtoken", key_id)):
        assert (await send(client, f"undeploy/{kind}", name=name)).status_code == 409


async def test_other_processes_hear_that_a_user_is_undeployed(
    client: httpx.AsyncClient, api: FastAPI
) -> None:
    token = manifest("AuthToken", "robot", {"user": "robot@acme.example"})
    made = (await post(client, "apply", token))["data"]["manifest"]
    headers = {"Authorization": f"Token {made['status']['value']}"}
    assert (await client.post(f"{CLI}/whoami/", headers=headers)).status_code == 200

    # As another process would: nothing here is told but by the database.
    await api.state.database.pool.execute(
        """UPDATE "user" SET deployed = false WHERE email = 'robot@acme.example'"""
    )
    for _ in range(50):
        answer = await client.post(f"{CLI}/whoami/", headers=headers)
        if answer.status_code == 401:
            break
    assert answer.status_code == 401

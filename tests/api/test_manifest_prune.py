"""Pruning: what no document declares goes in the transaction of the apply; and the verb diff."""

from typing import Any

import httpx
import pytest

from app.access.caller import KeyScope
from tests.support.http import NewKey
from tests.support.manifests import manifest, many, post, provider, secret, send


async def names(client: httpx.AsyncClient, kind: str) -> list[str]:
    table = (await post(client, f"get/{kind}"))["data"]
    return [item["name"] for item in table["data"]["items"]]


async def test_what_is_not_declared_is_deleted_users_first(client: httpx.AsyncClient) -> None:
    await post(client, "apply", many(secret(), provider(), secret("other")))
    kept: dict[str, Any] = {"prune": ["secret", "Provider"]}

    tried = await post(client, "apply", secret("other"), dry_run=True, **kept)
    assert await names(client, "secrets") == ["key", "other"]
    done = await post(client, "apply", secret("other"), **kept)

    gone = [{"kind": "Provider", "name": "models"}, {"kind": "Secret", "name": "key"}]
    assert tried["data"]["pruned"] == done["data"]["pruned"] == gone
    assert await names(client, "secrets") == ["other"]
    assert await names(client, "providers") == []


async def test_what_is_in_use_refuses_the_whole_apply(client: httpx.AsyncClient) -> None:
    await post(client, "apply", many(secret(), provider()))

    for dry_run in (True, False):
        refused = await send(client, "apply", secret("new"), prune="Secret", dry_run=dry_run)
        assert refused.status_code == 409
        assert "Provider models" in refused.json()["detail"]
    assert await names(client, "secrets") == ["key"]


async def test_labels_narrow_what_is_deleted(client: httpx.AsyncClient) -> None:
    mine = {"labels": {"app": "mine"}}
    await post(
        client, "apply", many(manifest("Dataset", "old", **mine), manifest("Dataset", "others"))
    )
    await post(
        client, "apply", manifest("Dataset", "new", **mine), prune="Dataset", selector="app=mine"
    )

    assert await names(client, "datasets") == ["new", "others"]
    alone = await send(client, "apply", manifest("Dataset", "d"), selector="app=mine")
    assert alone.status_code == 400


async def test_callers_keep_their_own_user_and_key(client: httpx.AsyncClient) -> None:
    token = manifest("AuthToken", "robot", {"user": "robot@acme.example"})
    await post(client, "apply", token)
    before = await names(client, "authtokens")

    done = await post(client, "apply", manifest("Dataset", "d"), prune=["AuthToken", "User"])
    assert done["data"]["pruned"] == [
        {"kind": "AuthToken", "name": "robot"},
        {"kind": "User", "name": "robot@acme.example"},
    ]
    assert await names(client, "authtokens") == [name for name in before if name != "robot"]
    assert await names(client, "users") == ["ann@acme.example"]


@pytest.mark.parametrize("kind", ["Session", "Account", "Nothing", ""])
async def test_kinds_that_no_manifest_declares_are_not_pruned(
    client: httpx.AsyncClient, kind: str
) -> None:
    refused = await send(client, "apply", manifest("Dataset", "d"), prune=kind)

    assert refused.status_code == 400
    assert refused.json()["errors"][0]["loc"] == ["query", "prune"]


async def test_only_who_may_change_a_kind_prunes_it(
    client: httpx.AsyncClient, new_key: NewKey
) -> None:
    key = await new_key(scopes=[KeyScope.WRITE])
    headers = {"Authorization": f"Token {key.api_key}"}
    refused = await client.post(
        "/api/v1/cli/apply/?prune=User", json=manifest("Dataset", "d"), headers=headers
    )
    assert refused.status_code == 403


async def test_a_key_that_may_only_read_sees_what_would_change(
    client: httpx.AsyncClient, new_key: NewKey
) -> None:
    await post(client, "apply", many(secret(), manifest("Dataset", "d", description="before")))
    key = await new_key(scopes=[KeyScope.READ])
    headers = {"Authorization": f"Token {key.api_key}"}

    async def diff(document: Any) -> Any:
        answer = await client.post("/api/v1/cli/diff/", json=document, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    changed = await diff(manifest("Dataset", "d", description="after"))
    assert [change["path"] for change in changed["data"]["diff"]] == ["/metadata/description"]
    assert changed["message"] == "Dataset d compared successfully (dry run)"
    made = await diff(manifest("AuthToken", "robot", {"user": "robot@acme.example"}))
    assert made["data"]["operation"] == "created"
    assert "value" not in made["data"]["manifest"]["status"]
    # Else a key that may only read could guess values.
    for value in ("hunter2-very-secret", "another"):
        assert (await diff(secret(value=value)))["data"]["operation"] == "unchanged"

    assert await names(client, "authtokens") != ["robot"]
    assert "before" in (await send(client, "describe/dataset", name="d")).text
    logs = (await post(client, "logs/dataset", name="d"))["data"]["data"]["items"]
    assert [item["text"] for item in logs] == ["apply: created"]
    refused = await client.post(
        "/api/v1/cli/apply/?dry_run=true", json=manifest("Dataset", "d"), headers=headers
    )
    assert refused.status_code == 403

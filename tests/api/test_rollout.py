"""Revisions of flows and agents: they are listed, and a resource goes back to one of them."""

from typing import Any

import httpx
import pytest

from tests.support.manifests import manifest, post, send

STATES = {"a": {"initial": True, "transitions": [{"event": "go", "target": "a"}]}}


def revised(kind: str, number: int) -> Any:
    if kind == "Flow":
        spec: Any = {"statechart": {"states": STATES}, "templates": {"a": f"text {number}"}}
    else:
        text = {"role": "user", "content": [{"text": f"text {number}"}]}
        spec = {"requestTemplate": {"messages": [text]}}
    return manifest(kind, "r", spec, description=f"number {number}", labels={"a": "b"})


@pytest.mark.parametrize("kind", ["Flow", "Agent"])
async def test_a_resource_goes_back(client: httpx.AsyncClient, kind: str) -> None:
    for number in (1, 2, 3):
        await post(client, "apply", revised(kind, number))

    async def text() -> tuple[str, str]:
        shown = (await post(client, f"describe/{kind}", name="r"))["data"]
        assert shown["metadata"]["labels"] == {"a": "b"}
        number = str(shown["spec"]).partition("text ")[2][0]
        return shown["metadata"]["description"], number

    listed = (await post(client, f"history/{kind}", name="r"))["data"]["data"]["items"]
    assert [item["revision"] for item in listed] == [3, 2, 1]
    assert [item["description"] for item in listed] == ["number 3", "number 2", "number 1"]

    tried = await post(client, f"undo/{kind}", name="r", dry_run=True)
    assert tried["data"]["operation"] == "updated"
    assert await text() == ("number 3", "3")
    done = await post(client, f"undo/{kind}", name="r")
    assert done["message"] == f"{kind} r undone successfully"
    assert await text() == ("number 2", "2")
    await post(client, f"undo/{kind}", name="r", revision=1)
    assert await text() == ("number 1", "1")
    same = await post(client, f"undo/{kind}", name="r", revision=1)
    assert same["data"] == {"operation": "unchanged", "diff": []}

    listed = (await post(client, f"history/{kind}", name="r"))["data"]["data"]["items"]
    assert [item["revision"] for item in listed] == [5, 4, 3, 2, 1]
    logs = (await post(client, f"logs/{kind}", name="r"))["data"]["data"]["items"]
    assert not any("history" in item["text"] for item in logs)
    assert sum(item["text"].startswith("undo") for item in logs) == 4


@pytest.mark.parametrize("kind", ["Flow", "Agent"])
async def test_there_must_be_something_to_go_back_to(client: httpx.AsyncClient, kind: str) -> None:
    await post(client, "apply", revised(kind, 1))

    assert (await send(client, f"undo/{kind}", name="r")).status_code == 404
    assert (await send(client, f"undo/{kind}", name="r", revision=7)).status_code == 404
    assert (await send(client, f"undo/{kind}", name="r", revision=0)).status_code == 400
    assert (await send(client, f"history/{kind}", name="none")).status_code == 404
    assert (await send(client, "history/dataset", name="r")).status_code == 501
    assert (await send(client, "undo/dataset", name="r")).status_code == 501


async def test_what_was_deleted_begins_anew(client: httpx.AsyncClient) -> None:
    await post(client, "apply", revised("Flow", 1))
    await post(client, "delete/flow", name="r")
    assert (await send(client, "history/flow", name="r")).status_code == 404
    await post(client, "apply", revised("Flow", 2))

    listed = (await post(client, "history/flow", name="r"))["data"]["data"]["items"]
    assert [item["description"] for item in listed] == ["number 2"]

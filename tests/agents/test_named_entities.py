"""Typed variables name datasets, devices and collections by their names as well as by their ids."""

import httpx
import pytest

from tests.support.manifests import apply_entity, manifest, many, post, send

TEMPLATE = {"messages": [{"role": "user", "content": [{"text": "Look at {{data}}."}]}]}


def agent(**variable: str) -> object:
    declared = [{"name": "data", "type": "dataset_id", **variable}]
    return manifest("Agent", "looker", {"requestTemplate": TEMPLATE, "variables": declared})


async def launched(client: httpx.AsyncClient, values: dict[str, str]) -> httpx.Response:
    found = await client.get("/v1/ai/agents/name/looker")
    url = f"/v1/ai/agents/{found.json()['data']['agent_id']}/preview"
    return await client.post(url, json={"values": values})


async def test_one_file_holds_a_dataset_and_the_agent_that_names_it(
    client: httpx.AsyncClient,
) -> None:
    documents = many(agent(default="recordings"), manifest("Dataset", "recordings"))
    await post(client, "apply", documents)
    entity = (await post(client, "describe/dataset", name="recordings"))["data"]["status"]["id"]

    assert f"Look at {entity}." in (await launched(client, {})).text
    assert f"Look at {entity}." in (await launched(client, {"data": entity})).text
    used = await send(client, "delete/dataset", name="recordings")
    assert used.status_code == 409
    again = (await post(client, "apply", agent(default="recordings")))["data"]
    assert again["operation"] == "unchanged"


async def test_a_launch_names_what_it_is_about(client: httpx.AsyncClient) -> None:
    await post(client, "apply", agent())
    entity = await apply_entity(client, "Dataset", "other")
    await apply_entity(client, "Device", "robot")

    assert f"Look at {entity}." in (await launched(client, {"data": "other"})).text
    for wrong in ("robot", "nothing"):  # of another kind, or not there
        refused = await launched(client, {"data": wrong})
        assert refused.status_code == 400
        assert f"there is no Dataset '{wrong}'" in refused.text


@pytest.mark.parametrize("name", ["ds_1", "a"])
async def test_an_id_goes_before_a_name(client: httpx.AsyncClient, name: str) -> None:
    await post(client, "apply", agent())
    first = await apply_entity(client, "Dataset", "first")
    await apply_entity(client, "Dataset", name)

    assert f"Look at {first}." in (await launched(client, {"data": first})).text

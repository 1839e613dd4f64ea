"""Verbs on one resource at once: each answers as if the others had come before it or after it."""

import asyncio
from typing import Any

import httpx
import pytest

from app.manifests.registry import all_brokers
from tests.support.manifests import manifest, post, send

# Those that many others share no code with: the rest write as Datasets do.
KINDS = ("Agent", "AuthToken", "Dataset", "Flow", "Skill", "User")


async def statuses(*requests: Any) -> list[int]:
    return [answer.status_code for answer in await asyncio.gather(*requests)]


@pytest.mark.parametrize("kind", KINDS)
async def test_verbs_at_once_are_no_faults(client: httpx.AsyncClient, kind: str) -> None:
    document = (await post(client, f"example-manifest/{kind}"))["data"]
    name = document["metadata"]["name"]
    other = document | {"metadata": document["metadata"] | {"description": "another"}}
    await post(client, "apply", document)

    deleted = await statuses(*(send(client, f"delete/{kind}", name=name) for _ in range(3)))
    mixed = await statuses(
        send(client, "apply", document),
        send(client, f"delete/{kind}", name=name),
        send(client, "apply", other),
        send(client, f"delete/{kind}", name=name),
        send(client, f"describe/{kind}", name=name),
        send(client, f"logs/{kind}", name=name),
    )

    assert sorted(deleted) == [200, 404, 404]
    assert mixed[0] == mixed[2] == 200
    assert set(mixed) <= {200, 404}


async def test_a_user_deleted_while_keys_are_made_for_them(client: httpx.AsyncClient) -> None:
    await post(client, "apply", manifest("User", "robin@acme.example"))
    for number in range(4):
        token = manifest("AuthToken", f"token-{number}", {"user": "robin@acme.example"})
        seen = await statuses(
            send(client, "apply", token),
            send(client, "delete/user", name="robin@acme.example"),
            send(client, "apply", token),
        )
        assert set(seen) <= {200, 404, 409}, seen


async def test_an_agent_deleted_while_sessions_of_it_start(client: httpx.AsyncClient) -> None:
    await post(client, "apply", all_brokers().find("agent").example)
    by_name = await client.get("/v1/ai/agents/name/example-agent")
    url = f"/v1/ai/agents/{by_name.json()['data']['agent_id']}"

    seen = await statuses(
        client.post(f"{url}/launch", json={}),
        send(client, "delete/agent", name="example-agent"),
        client.post(f"{url}/launch", json={}),
        client.delete(url),
        client.put(url, json={"description": "another"}),
    )

    assert set(seen) <= {200, 201, 204, 404}, seen

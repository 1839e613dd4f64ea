"""Names: which characters they may have, and which differences make two names."""

import httpx
import pytest
from fastapi import FastAPI

from app.manifests.registry import all_brokers
from tests.support.manifests import manifest, post, send

TEXT = {"role": "user", "content": [{"text": "Hi"}]}
INVISIBLE = {
    "zero width space": "\u200b",
    "zero width joiner": "\u200d",
    "right-to-left override": "\u202e",
    "left-to-right isolate": "\u2066",
    "soft hyphen": "\u00ad",
    "byte order mark": "\ufeff",
    "hangul filler": "\u3164",
    "variation selector": "\ufe0f",
    "tag": "\U000e0061",
    "no-break space": "\u00a0",
    "empty braille": "\u2800",
    "private use": "\ue000",
}


@pytest.mark.parametrize("character", INVISIBLE.values(), ids=INVISIBLE)
async def test_a_name_has_no_invisible_characters(
    client: httpx.AsyncClient, character: str
) -> None:
    name = f"a{character}b"
    agent = (await post(client, "example-manifest/agent"))["data"]
    agent["metadata"]["name"] = name
    rest = {"name": name, "request_template": {"messages": [TEXT]}}

    assert (await send(client, "apply", agent)).status_code == 400
    assert (await send(client, "apply", manifest("User", f"{name}@c.example"))).status_code == 400
    assert (await client.post("/v1/ai/agents", json=rest)).status_code == 400


async def test_names_of_all_languages_are_taken(client: httpx.AsyncClient) -> None:
    agent = (await post(client, "example-manifest/agent"))["data"]
    for name in ("Zoë 1", "日本語", "مرحبا", "🦜"):
        agent["metadata"]["name"] = name
        assert (await post(client, "apply", agent))["data"]["operation"] == "created"


async def test_spaces_around_a_name_are_none_of_it(client: httpx.AsyncClient) -> None:
    await post(client, "apply", manifest("Dataset", "  d "))
    assert (await post(client, "describe/dataset", name=" d  "))["data"]["metadata"]["name"] == "d"
    agent = all_brokers().find("agent").example.replace("example-agent", "'  Ada  '")
    await post(client, "apply", agent)
    again = await client.post(
        "/v1/ai/agents", json={"name": "Ada ", "request_template": {"messages": [TEXT]}}
    )
    assert again.status_code == 409


async def test_an_address_is_the_same_in_any_case(client: httpx.AsyncClient, api: FastAPI) -> None:
    made = (await post(client, "apply", manifest("User", "Bob@Acme.Example")))["data"]
    assert made["manifest"]["metadata"]["name"] == "bob@acme.example"

    again = (await post(client, "apply", manifest("User", "BOB@acme.example")))["data"]
    token = manifest("AuthToken", "robot", {"user": "boB@acme.example"})
    key = (await post(client, "apply", token))["data"]
    assert again["operation"] == "unchanged"
    assert key["manifest"]["spec"]["user"] == "bob@acme.example"
    assert (await post(client, "apply", token))["data"]["operation"] == "unchanged"
    assert (await send(client, "delete/user", name="BOB@ACME.EXAMPLE")).status_code == 409
    query = """SELECT count(*) FROM "user" WHERE email ILIKE 'bob@%'"""
    assert await api.state.database.pool.fetchval(query) == 1


async def test_a_user_from_before_keeps_the_capitals(
    client: httpx.AsyncClient, api: FastAPI
) -> None:
    await post(client, "apply", manifest("User", "bob@acme.example"))
    await api.state.database.pool.execute(
        """UPDATE "user" SET email = 'Bob@acme.example' WHERE email = 'bob@acme.example'"""
    )

    described = (await post(client, "describe/user", name="bob@acme.example"))["data"]
    assert described["metadata"]["name"] == "Bob@acme.example"
    assert (await post(client, "apply", described))["data"]["operation"] == "unchanged"
    token = manifest("AuthToken", "robot", {"user": "bob@acme.example"})
    await post(client, "apply", token)
    await post(client, "delete/authtoken", name="robot")
    await post(client, "delete/user", name="BOB@acme.example")

"""What flows read of who a session is for and of what was said, and how that is checked."""

import json
from typing import Any

import httpx
import pytest
import yaml
from fastapi import FastAPI

from app.settings import Settings
from tests.sessions.test_yaml_flows import save
from tests.support.flows import Session
from tests.support.http import NewKey

ANN = {"email": "Ann@acme.example", "firstname": "Ann", "lastname": "Lee", "plan": {"seats": 3}}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"flows_package": "tests.support.engine_flows"})


async def start(client: httpx.AsyncClient, flow: str, **body: Any) -> Session:
    started = await client.post(f"/v1/ai/{flow}/start_session", json=body)
    assert started.status_code == 200, started.text
    return Session(client, flow, started.json())


async def test_code_reads_who_a_session_is_for(client: httpx.AsyncClient) -> None:
    session = await start(client, "greeting", user_info=ANN)
    assert session.answer["response"] == "Hello, Ann."
    assert (await session.send("go"))["response"] == "Ann@acme.example Lee"
    assert await session.model("user_info") == ANN
    nobody = await start(client, "greeting")
    assert nobody.answer["response"] == "Hello, ."
    assert (await nobody.send("go"))["response"] == "unknown"
    assert (await nobody.model())["user_info"] is None


GREETING = """
model: {who: {type: [string, "null"]}}
statechart:
  states:
    hello:
      initial: true
      transitions:
        - event: go
          target: works
          cond: "'@acme.example' in user_info.email"
          "on": [{assign: {location: who, expr: user_info.firstname}}]
    works: {transitions: [{event: done, target: bye}]}
    bye: {final: true}
templates:
  hello: "Hello, {{ user_info.firstname }}."
  works: {invoke: verbatim, template: "{{ user_info.plan.seats }} seats"}
  bye: "{{ who }}: {{ actor_input }}, {{ user_info.lastname }}"
"""


async def test_manifests_read_who_a_session_is_for(
    api: FastAPI, client: httpx.AsyncClient, new_key: NewKey, worker: None
) -> None:
    await save(api, await new_key(), "greeting_yaml", yaml.safe_load(GREETING))
    session = await start(client, "greeting_yaml", user_info=ANN)
    assert session.answer["response"] == "Hello, Ann."
    assert (await session.send("go"))["response"] == "Ann: 3 seats, Lee"
    nobody = await start(client, "greeting_yaml")
    assert (await nobody.post("go")).status_code == 409


@pytest.mark.parametrize(
    ("user_info", "loc"),
    [
        ({"email": "ann"}, ["user_info", "email"]),
        ({"email": "a n@acme.example"}, ["user_info", "email"]),
        ({"email": "a" * 400 + "@acme.example"}, ["user_info", "email"]),
        ({"firstname": "An\nn"}, ["user_info", "firstname"]),
        ({"lastname": "x" * 201}, ["user_info", "lastname"]),
        ({"lastname": 5}, ["user_info", "lastname"]),
        ({"note": "x" * 10_000}, ["user_info"]),
        ("ann@acme.example", ["user_info"]),
    ],
)
async def test_who_it_is_for_is_checked(
    client: httpx.AsyncClient, user_info: Any, loc: list[str]
) -> None:
    for path, more in (("start_session", {}), ("start_ephemeral_session", {"event": "go"})):
        body = {"user_info": user_info, **more}
        refused = await client.post(f"/v1/ai/greeting/{path}", json=body)
        assert refused.status_code == 400, refused.text
        assert [fault["loc"] for fault in refused.json()["errors"]] == [["body", *loc]]


async def test_the_sessions_of_a_person_are_found_by_what_the_reference_sends(
    client: httpx.AsyncClient,
) -> None:
    ann = await start(client, "greeting", user_info=ANN)
    bob = await start(client, "greeting", user_info={"email": "bob@acme.example"})

    async def found(**body: str) -> list[str]:
        listed = await client.post("/v1/ai/greeting/user_sessions", json=body)
        assert listed.status_code == 200, listed.text
        return [item["session_id"] for item in listed.json()["items"]]

    assert await found() == [bob.id, ann.id]
    assert await found(email="ann@ACME.example", firstname="Ann", lastname="Lee") == [ann.id]
    assert await found(email="ann@acme.example", firstname="Bob") == []
    assert await found(lastname="Lee") == [ann.id]
    assert await found(user="BOB@acme.example") == [bob.id]


@pytest.mark.parametrize(
    ("seed", "shown"),
    [("plain text", "plain text"), ('{"seed_data": "from JSON"}', "from JSON"), ("[1]", "[1]")],
)
async def test_seed_data_may_be_a_text(client: httpx.AsyncClient, seed: str, shown: str) -> None:
    session = await start(client, "greeting", seed_data=seed)
    assert session.answer["response"] == f"Hello, {shown}."
    refused = await client.post("/v1/ai/reference/start_session", json={"seed_data": "text"})
    assert refused.json()["errors"] == [{"loc": ["seed_data", "seed_data"], "msg": "unknown field"}]


async def test_guards_and_hooks_in_the_style_of_the_reference_see_the_input(
    client: httpx.AsyncClient, worker: None
) -> None:
    session = await start(client, "reference")
    assert session.answer["response"] == "Listens []"
    assert (await session.post("user_input", "")).status_code == 409
    for said, parsed in (("hello", "hello"), ("12", 12), ("1.5", 1.5)):
        answer = await session.send("user_input", said)
        assert json.loads(answer["response"].removeprefix("Listens ")) == [said, said, parsed]

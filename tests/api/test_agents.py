"""Agents over HTTP: saved whole or not at all, found again, changed one at a time."""

import asyncio
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI

from app.access.caller import KeyScope
from tests.support.http import NewKey
from tests.support.manifests import apply_entity

AGENTS = "/v1/ai/agents"


def template(text: str = "Hi", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"text": text}]}], **more}


def body(name: str = "greeter", text: str = "Hi {{who}}", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "request_template": template(text),
        "variables": [{"name": "who"}] if "{{who}}" in text else [],
        **more,
    }


async def create(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    response = await client.post(AGENTS, json=body(**changes))
    assert response.status_code == 201, response.text
    record: dict[str, Any] = response.json()["data"]
    return record


def faults(response: httpx.Response, status: int = 400) -> list[tuple[str, str]]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    return [(".".join(map(str, f["loc"])), f["msg"]) for f in response.json()["errors"]]


@pytest.fixture
async def stranger(api: FastAPI, client: httpx.AsyncClient, new_key: NewKey) -> dict[str, str]:
    """The header of an admin of another org."""
    key = await new_key(org="Other", user="eve@other.example")
    return {"Authorization": f"Bearer {key.api_key}"}


async def test_what_is_created_is_found_by_id_and_by_name(client: httpx.AsyncClient) -> None:
    made = await create(client, description="Says hi.")

    by_id = await client.get(f"{AGENTS}/{made['agent_id']}")
    by_name = await client.get(f"{AGENTS}/name/greeter")

    assert by_id.json() == by_name.json() == {"data": made}
    assert made["agent_id"].startswith("agt_")
    assert made["request_template"] == template("Hi {{who}}")
    assert made["description"] == "Says hi."
    assert made["revision"] == 1
    assert made["created_by"] == made["modified_by"]
    assert made["variables"] == [
        {
            "name": "who",
            "type": "string",
            "description": None,
            "required": True,
            "default": None,
            "collection_content_type": None,
        }
    ]


async def test_the_template_comes_back_as_it_was_written(client: httpx.AsyncClient) -> None:
    written = template(
        "Hi",
        system_prompt="Be {{style}}.",
        client_context={"misc_context": {"deep": [{"n": 1.5, "t": None, "s": "{{ style }}"}]}},
        analysis_scope={"start_time": 2**63 - 1},
        goals=[],
        invoke_skills=[],
    )

    made = await create(client, request_template=written, variables=[{"name": "style"}])

    assert made["request_template"] == written
    again = await client.put(
        f"{AGENTS}/{made['agent_id']}",
        json={key: made[key] for key in ("name", "description", "request_template", "variables")},
    )
    assert again.json()["data"] == made


@pytest.mark.parametrize(
    "name",
    ["a/b", "/", "..%2f", "a?b&c=d#e", "100 %", "é 漢字 👩‍👩‍👧", "x/revisions", "+", "a//b/"],
)
async def test_a_name_holds_any_printable_character(client: httpx.AsyncClient, name: str) -> None:
    made = await create(client, name=name)

    found = await client.get(f"{AGENTS}/name/{quote(name, safe='')}")

    assert found.json() == {"data": made}


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x7f", "\x1b[31m", "a\u2028b", "x" * 201, 7])
async def test_a_bad_name_is_refused(client: httpx.AsyncClient, name: Any) -> None:
    response = await client.post(AGENTS, json=body(name=name))

    assert [loc for loc, _ in faults(response)] == ["body.name"]


BAD: list[tuple[dict[str, Any], str, str]] = [
    (
        {"variables": []},
        "body.request_template.messages.0.content.0.text",
        "'who' is not declared",
    ),
    ({"variables": [{"name": "who"}, {"name": "b"}]}, "body.variables.1.name", "'b' is not used"),
    ({"variables": [{"name": "who"}] * 2}, "body.variables.1.name", "more than once"),
    ({"variables": [{"name": "1"}]}, "body.variables.0.name", "pattern"),
    ({"variables": [{"name": "who", "required": False}]}, "body.variables.0", "default"),
    (
        {"variables": [{"name": "who", "collection_content_type": "event"}]},
        "body.variables.0",
        "collection_content_type",
    ),
    (
        {"request_template": template("{{who}}", client_context={"misc_context": {"{{who}}": 1}})},
        "body.request_template.client_context.misc_context.{{who}}",
        "stands in a key",
    ),
    (
        {"request_template": template("{{who}}", goals=[{"goal_type": "x"}])},
        "body.request_template.goals.0",
        "dataset_summary",
    ),
    ({"request_template": template("{{who}}", bogus=1)}, "body.request_template.bogus", "Extra"),
    ({"request_template": {"messages": []}}, "body.request_template.messages", "be empty"),
    ({"bogus": 1}, "body.bogus", "Extra"),
]


@pytest.mark.parametrize(("changes", "place", "word"), BAD)
async def test_a_broken_invariant_is_named_and_nothing_is_saved(
    client: httpx.AsyncClient, changes: dict[str, Any], place: str, word: str
) -> None:
    made = await create(client)

    refused = await client.post(AGENTS, json=body(name="other") | changes)
    not_changed = await client.put(f"{AGENTS}/{made['agent_id']}", json={"name": "n"} | changes)

    for response in (refused, not_changed):
        assert any(loc == place and word in msg for loc, msg in faults(response)), response.text
    listed = (await client.get(AGENTS)).json()["data"]["items"]
    assert listed == [made]
    revisions = await client.get(f"{AGENTS}/{made['agent_id']}/revisions")
    assert len(revisions.json()["data"]["items"]) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b'{"name": NaN}',
        b'{"name": "\\u0000"}',
        b'{"name": "\\ud800"}',
        b'{"name": "a", "request_template": ' + b"[" * 500 + b"]" * 500 + b"}",
    ],
)
async def test_a_body_that_is_no_request_is_a_400(client: httpx.AsyncClient, raw: bytes) -> None:
    response = await client.post(AGENTS, content=raw, headers={"Content-Type": "application/json"})

    assert response.status_code == 400, response.text


async def test_a_name_is_taken_once_in_an_org(
    client: httpx.AsyncClient, stranger: dict[str, str]
) -> None:
    first = await create(client)
    other = await create(client, name="other")

    again = await client.post(AGENTS, json=body())
    renamed = await client.put(f"{AGENTS}/{other['agent_id']}", json={"name": "greeter"})
    elsewhere = await client.post(AGENTS, json=body(), headers=stranger)

    assert (again.status_code, renamed.status_code, elsewhere.status_code) == (409, 409, 201)
    assert "'greeter'" in again.json()["detail"]
    assert (await client.get(f"{AGENTS}/name/greeter")).json()["data"] == first


async def test_many_creates_of_one_name_at_once_make_one_agent(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(client.post(AGENTS, json=body()) for _ in range(8)))

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


async def test_pages_go_from_newest_to_oldest_each_agent_once(client: httpx.AsyncClient) -> None:
    made = [await create(client, name=f"agent {index}") for index in range(7)]

    seen: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": 3}
    sizes = []
    while True:
        page = (await client.get(AGENTS, params=query)).json()["data"]
        seen += page["items"]
        sizes.append(len(page["items"]))
        if page["next_token"] is None:
            break
        query["page_token"] = page["next_token"]
        await create(client, name=f"made meanwhile {len(seen)}")

    assert sizes == [3, 3, 1]
    assert seen == made[::-1]


@pytest.mark.parametrize(
    "query",
    [{"limit": 0}, {"limit": 201}, {"limit": "x"}, {"page_token": "x"}, {"page_token": "WyIxIl0"}],
)
async def test_a_bad_page_is_a_400(client: httpx.AsyncClient, query: dict[str, Any]) -> None:
    made = await create(client)

    assert (await client.get(AGENTS, params=query)).status_code == 400
    if query != {"page_token": "WyIxIl0"}:  # which is how a revision page begins
        revisions = await client.get(f"{AGENTS}/{made['agent_id']}/revisions", params=query)
        assert revisions.status_code == 400


async def test_an_update_changes_what_it_names_and_keeps_the_rest(
    client: httpx.AsyncClient,
) -> None:
    made = await create(client, description="old")
    url = f"{AGENTS}/{made['agent_id']}"

    changed = (await client.put(url, json={"name": "new"})).json()["data"]
    cleared = (await client.put(url, json={"description": None})).json()["data"]

    untouched = ("agent_id", "org_id", "request_template", "variables", "created", "created_by")
    assert {key: cleared[key] for key in untouched} == {key: made[key] for key in untouched}
    assert (changed["name"], changed["description"], changed["revision"]) == ("new", "old", 2)
    assert (cleared["name"], cleared["description"], cleared["revision"]) == ("new", None, 3)
    assert made["modified"] < changed["modified"] < cleared["modified"]
    assert (await client.get(url)).json()["data"] == cleared


async def test_template_and_variables_are_checked_after_the_merge(
    client: httpx.AsyncClient,
) -> None:
    made = await create(client)
    url = f"{AGENTS}/{made['agent_id']}"

    alone = await client.put(url, json={"request_template": template("Hi {{you}}")})
    together = await client.put(
        url, json={"request_template": template("Hi {{you}}"), "variables": [{"name": "you"}]}
    )

    assert {loc for loc, _ in faults(alone)} == {
        "body.request_template.messages.0.content.0.text",
        "body.variables.0.name",
    }
    assert together.status_code == 200


async def test_null_clears_only_the_description(client: httpx.AsyncClient) -> None:
    made = await create(client)

    for field in ("name", "request_template", "variables"):
        response = await client.put(f"{AGENTS}/{made['agent_id']}", json={field: None})
        assert faults(response)[0][0] == f"body.{field}"


async def test_an_update_that_changes_nothing_makes_no_revision(client: httpx.AsyncClient) -> None:
    made = await create(client)

    for same in ({}, {"name": "greeter"}, {"variables": [{"name": "who"}]}):
        answer = await client.put(f"{AGENTS}/{made['agent_id']}", json=same)
        assert answer.json()["data"] == made


async def test_updates_at_once_are_each_whole(client: httpx.AsyncClient) -> None:
    made = await create(client)
    url = f"{AGENTS}/{made['agent_id']}"
    changes = [
        {
            "description": f"d{index}",
            "request_template": template(f"Hi {{{{v{index}}}}}"),
            "variables": [{"name": f"v{index}"}],
        }
        for index in range(10)
    ]

    answers = await asyncio.gather(*(client.put(url, json=change) for change in changes))

    assert [answer.status_code for answer in answers] == [200] * 10
    revisions = (await client.get(f"{url}/revisions")).json()["data"]["items"]
    assert [revision["revision"] for revision in revisions] == list(range(11, 0, -1))
    for revision in revisions[:-1]:
        index = revision["description"].removeprefix("d")
        assert revision["variables"][0]["name"] == f"v{index}"
        assert revision["request_template"] == template(f"Hi {{{{v{index}}}}}")
    now = (await client.get(url)).json()["data"]
    assert {key: now[key] for key in ("revision", "description")} == {
        key: revisions[0][key] for key in ("revision", "description")
    }


async def test_revisions_are_paged(client: httpx.AsyncClient) -> None:
    made = await create(client)
    url = f"{AGENTS}/{made['agent_id']}"
    for index in range(4):
        await client.put(url, json={"description": str(index)})

    first = (await client.get(f"{url}/revisions", params={"limit": 3})).json()["data"]
    last = (
        await client.get(f"{url}/revisions", params={"limit": 3, "page_token": first["next_token"]})
    ).json()["data"]

    assert [r["revision"] for r in first["items"] + last["items"]] == [5, 4, 3, 2, 1]
    assert last["next_token"] is None
    assert last["items"][-1]["description"] is None


async def test_a_deleted_agent_is_gone_and_its_name_is_free(client: httpx.AsyncClient) -> None:
    made = await create(client)
    url = f"{AGENTS}/{made['agent_id']}"

    deleted = await client.delete(url)

    assert (deleted.status_code, deleted.content) == (204, b"")
    for response in (
        await client.get(url),
        await client.get(f"{AGENTS}/name/greeter"),
        await client.get(f"{url}/revisions"),
        await client.put(url, json={"name": "x"}),
        await client.post(f"{url}/preview", json={}),
        await client.delete(url),
    ):
        assert response.status_code == 404
    assert (await create(client))["agent_id"] != made["agent_id"]


async def test_another_orgs_agent_does_not_exist(
    client: httpx.AsyncClient, stranger: dict[str, str]
) -> None:
    made = await create(client)
    url = f"{AGENTS}/{made['agent_id']}"

    for request in (
        client.get(url, headers=stranger),
        client.get(f"{AGENTS}/name/greeter", headers=stranger),
        client.get(f"{url}/revisions", headers=stranger),
        client.put(url, json={"name": "mine"}, headers=stranger),
        client.post(f"{url}/preview", json={"values": {"who": "x"}}, headers=stranger),
        client.delete(url, headers=stranger),
    ):
        assert (await request).status_code == 404
    listed = await client.get(AGENTS, headers=stranger)
    assert listed.json()["data"] == {"items": [], "next_token": None}
    assert (await client.get(url)).json()["data"] == made


async def test_a_reading_key_reads_and_changes_nothing(
    client: httpx.AsyncClient, new_key: NewKey
) -> None:
    made = await create(client)
    url = f"{AGENTS}/{made['agent_id']}"
    key = await new_key(scopes=[KeyScope.READ])
    reader = {"Authorization": f"Token {key.api_key}"}

    assert (await client.get(url, headers=reader)).status_code == 200
    for request in (
        client.post(AGENTS, json=body(name="x"), headers=reader),
        client.put(url, json={"name": "x"}, headers=reader),
        client.delete(url, headers=reader),
    ):
        assert (await request).status_code == 403


class TestPreview:
    """Resolving, seen through `preview`; a launch starts a thread with the same request."""

    @pytest.fixture
    async def entities(self, client: httpx.AsyncClient) -> dict[str, str]:
        """The ids of one of each."""
        return {
            "dataset": await apply_entity(client, "Dataset", "d"),
            "device": await apply_entity(client, "Device", "d"),
            "events": await apply_entity(client, "Collection", "e", {"contentType": "event"}),
            "files": await apply_entity(client, "Collection", "f", {"contentType": "file"}),
            "bare": await apply_entity(client, "Collection", "b"),
        }

    async def preview(
        self, client: httpx.AsyncClient, made: dict[str, Any], **launch: Any
    ) -> httpx.Response:
        return await client.post(f"{AGENTS}/{made['agent_id']}/preview", json=launch)

    async def test_values_and_defaults_are_put_in_as_plain_text(
        self, client: httpx.AsyncClient
    ) -> None:
        made = await create(
            client,
            request_template=template("{{who}} {{ who }} {{x.y}} {{ 1 }}", system_prompt="{{who}}"),
            variables=[
                {"name": "who"},
                {"name": "x.y", "required": False, "default": "{{who}} {% if 1 %}"},
            ],
        )

        answer = await self.preview(client, made, values={"who": "{{x.y}} {{ 7*7 }}"})

        assert answer.status_code == 200
        assert answer.json()["data"] == {
            **template(
                "{{x.y}} {{ 7*7 }} {{x.y}} {{ 7*7 }} {{who}} {% if 1 %} {{ 1 }}",
                system_prompt="{{x.y}} {{ 7*7 }}",
            ),
            "visibility": "org",
        }

    async def test_unknown_and_missing_values_are_all_named(
        self, client: httpx.AsyncClient
    ) -> None:
        made = await create(
            client,
            request_template=template("{{a}} {{b}} {{c}}"),
            variables=[{"name": name} for name in "abc"],
        )

        answer = await self.preview(client, made, values={"b": "", "x": "1", "y": "2"})

        assert [loc for loc, _ in faults(answer)] == [
            "body.values.x",
            "body.values.y",
            "body.values.a",
            "body.values.c",
        ]

    async def test_typed_values_must_exist_with_the_right_kind_and_content(
        self, client: httpx.AsyncClient, entities: dict[str, str]
    ) -> None:
        made = await create(
            client,
            request_template=template("{{ds}} {{dv}} {{any}} {{ev}}"),
            variables=[
                {"name": "ds", "type": "dataset_id"},
                {"name": "dv", "type": "device_id"},
                {"name": "any", "type": "collection_id"},
                {"name": "ev", "type": "collection_id", "collection_content_type": "event"},
            ],
        )
        good = {
            "ds": entities["dataset"],
            "dv": entities["device"],
            "any": entities["bare"],
            "ev": entities["events"],
        }

        assert (await self.preview(client, made, values=good)).status_code == 200
        for name, wrong in (
            ("ds", entities["device"]),
            ("dv", "dv_none"),
            ("any", entities["dataset"]),
            ("ev", entities["files"]),
            ("ev", entities["bare"]),
            ("ev", ""),
        ):
            answer = await self.preview(client, made, values=good | {name: wrong})
            assert [loc for loc, _ in faults(answer)] == [f"body.values.{name}"]
        everything = await self.preview(
            client, made, values={"ds": "no", "dv": "no", "ev": entities["files"], "x": "1"}
        )
        assert {loc for loc, _ in faults(everything)} == {
            f"body.values.{name}" for name in ("ds", "dv", "any", "ev", "x")
        }

    async def test_another_orgs_entity_does_not_exist(
        self,
        client: httpx.AsyncClient,
        entities: dict[str, str],
        stranger: dict[str, str],
    ) -> None:
        declared = body(text="{{who}}", variables=[{"name": "who", "type": "dataset_id"}])
        made = (await client.post(AGENTS, json=declared, headers=stranger)).json()["data"]

        answer = await client.post(
            f"{AGENTS}/{made['agent_id']}/preview",
            json={"values": {"who": entities["dataset"]}},
            headers=stranger,
        )

        assert [loc for loc, _ in faults(answer)] == ["body.values.who"]

    async def test_the_launch_sets_visibility_and_each_end_of_the_scope(
        self, client: httpx.AsyncClient
    ) -> None:
        made = await create(
            client,
            request_template=template(
                "Hi", visibility="org", analysis_scope={"start_time": 1, "end_time": 9}
            ),
            variables=[],
        )

        kept = await self.preview(client, made)
        merged = await self.preview(
            client, made, visibility="private", analysis_scope={"end_time": 5}
        )
        backwards = await self.preview(client, made, analysis_scope={"end_time": 0})

        assert kept.json()["data"]["analysis_scope"] == {"start_time": 1, "end_time": 9}
        assert merged.json()["data"]["analysis_scope"] == {"start_time": 1, "end_time": 5}
        assert merged.json()["data"]["visibility"] == "private"
        assert backwards.status_code == 400

    async def test_the_filled_request_is_checked(self, client: httpx.AsyncClient) -> None:
        made = await create(
            client,
            request_template=template("Hi", model_profile="{{who}}"),
            variables=[{"name": "who"}],
        )

        answer = await self.preview(client, made, values={"who": "a\nb"})

        assert [loc for loc, _ in faults(answer)] == ["body.request_template.model_profile"]

    async def test_a_launch_cannot_be_blown_up(self, client: httpx.AsyncClient) -> None:
        made = await create(client, text="{{who}}" * 1_000, variables=[{"name": "who"}])

        answer = await self.preview(client, made, values={"who": "x" * 100_000})

        assert [loc for loc, _ in faults(answer)] == ["body.values"]

    async def test_values_are_texts(self, client: httpx.AsyncClient) -> None:
        made = await create(client)

        answer = await self.preview(client, made, values={"who": 3})

        assert [loc for loc, _ in faults(answer)] == ["body.values.who"]

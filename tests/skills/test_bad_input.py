"""Skills that are not taken: each is a problem that says where it is wrong, and saves nothing."""

from typing import Any

import httpx
from fastapi import FastAPI

from app.skills import store, versions

URL = "/v1/skills"
SKILL: dict[str, Any] = {"name": "qa-review", "description": "d", "body": "b"}
KB = 1024


async def create(client: httpx.AsyncClient, **fields: Any) -> str:
    answer = await client.post(f"{URL}/create", json=SKILL | fields)
    assert answer.status_code == 201, answer.text
    skill_id: str = answer.json()["data"]["skill_id"]
    return skill_id


def fault(answer: httpx.Response, status: int = 400) -> list[Any]:
    """The place of the only fault of a problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    [error] = answer.json()["errors"]
    assert error["msg"]
    place: list[Any] = error["loc"]
    return place


WRONG: list[tuple[dict[str, Any], list[Any]]] = [
    ({"name": ""}, ["name"]),
    ({"name": "two words"}, ["name"]),
    ({"name": "a/b"}, ["name"]),
    ({"name": "line\n"}, ["name"]),
    ({"name": "n" * 121}, ["name"]),
    ({"name": None}, ["name"]),
    ({"accessibility": "public"}, ["accessibility"]),
    ({"description": "d" * 501}, ["description"]),
    ({"body": "b" * (256 * KB + 1)}, ["body"]),
    ({"body": "é" * (128 * KB + 1)}, ["body"]),
    ({"body": 1}, ["body"]),
    ({"tags": ["t"] * 101}, ["tags"]),
    ({"tags": [""]}, ["tags", 0]),
    ({"tags": ["t" * 201]}, ["tags", 0]),
    ({"tags": None}, ["tags"]),
    ({"relevant_topics": ["t" * 501]}, ["relevant_topics", 0]),
    ({"relevant_topics": ["t"] * 501}, ["relevant_topics"]),
    ({"surprise": 1}, ["surprise"]),
]


async def test_a_skill_that_is_wrong_is_refused_with_the_place(client: httpx.AsyncClient) -> None:
    for fields, place in WRONG:
        answer = await client.post(f"{URL}/create", json=SKILL | fields)
        assert fault(answer) == ["body", *place], str(fields)[:100]
    assert (await client.get(URL)).json()["data"] == {"items": [], "next_token": None}


async def test_what_is_as_large_as_it_may_be_comes_back(client: httpx.AsyncClient) -> None:
    fields = {"name": "N" * 120, "description": "é" * 500, "body": "é" * (128 * KB)}
    skill_id = await create(client, **fields)

    latest = (await client.get(f"{URL}/id/{skill_id}/summary")).json()["data"]["latest_version"]
    assert (latest["description"], latest["body"]) == (fields["description"], fields["body"])
    assert (await client.get(f"{URL}/name/{'N' * 120}")).status_code == 200


WRONG_CHANGES: list[tuple[str, str, Any, list[Any]]] = [
    ("PUT", "", {"name": "a b"}, ["body", "name"]),
    ("PUT", "", {"name": None}, ["body", "name"]),
    ("PUT", "", {"accessibility": None}, ["body", "accessibility"]),
    ("PUT", "", {"put_tags": None}, ["body", "put_tags"]),
    ("PUT", "", {"put_tags": [f"t{n}" for n in range(100)]}, ["body", "put_tags"]),
    ("POST", "/versions", {"description": "d"}, ["body", "body"]),
    ("POST", "/versions", {"description": "d" * 501, "body": "b"}, ["body", "description"]),
    ("PUT", "/versions/1", {"body": None}, ["body", "body"]),
    ("PUT", "/versions/1", {"body": "b" * (256 * KB + 1)}, ["body", "body"]),
    ("PUT", "/versions/0", {"body": "b"}, ["path", "version"]),
    ("GET", f"/versions/{2**31}", None, ["path", "version"]),
    ("GET", "/versions/one", None, ["path", "version"]),
    ("PUT", "/subscribe", {"ai_version": 2}, ["body", "ai_version"]),
    ("PUT", "/subscribe", {"ai_version": 0}, ["body", "ai_version"]),
    ("PUT", "/subscribe", {"ai_version": 2**31}, ["body", "ai_version"]),
    ("PUT", "/subscribe", {"version": 1}, ["body", "version"]),
]


async def test_a_change_that_is_wrong_is_refused_with_the_place(client: httpx.AsyncClient) -> None:
    url = f"{URL}/id/{await create(client, tags=['kept'])}"
    before = (await client.get(f"{url}/summary")).json()

    for method, path, body, place in WRONG_CHANGES:
        answer = await client.request(method, url + path, json=body)
        assert fault(answer) == place, (method, path)
    assert (await client.get(f"{url}/summary")).json() == before


WRONG_QUERIES: list[tuple[dict[str, Any], str]] = [
    ({"scope": "all"}, "scope"),
    ({"page_token": "x"}, "page_token"),
    ({"limit": 51}, "limit"),
    ({"skope": "org"}, "skope"),
]


async def test_a_query_that_is_wrong_is_refused(client: httpx.AsyncClient) -> None:
    for query, place in WRONG_QUERIES:
        assert fault(await client.get(URL, params=query)) == ["query", place]


async def test_a_taken_name_is_a_conflict_with_its_place(client: httpx.AsyncClient) -> None:
    await create(client)
    other = await create(client, name="other")

    assert fault(await client.post(f"{URL}/create", json=SKILL), 409) == ["body", "name"]
    renamed = await client.put(f"{URL}/id/{other}", json={"name": "qa-review"})
    assert fault(renamed, 409) == ["body", "name"]


async def test_a_skill_holds_so_much_text_and_no_more(client: httpx.AsyncClient) -> None:
    largest = {"description": "d", "body": "b" * (256 * KB)}
    url = f"{URL}/id/{await create(client)}/versions"
    number = versions.MAX_BODIES_BYTES // (256 * KB)
    for _ in range(number - 1):
        assert (await client.post(url, json=largest)).status_code == 201

    assert fault(await client.post(url, json=largest), 409) == ["body", "body"]
    assert (await client.put(f"{url}/1", json=largest)).status_code == 200
    added = await client.post(url, json={"description": "d", "body": "b"})
    assert fault(added, 409) == ["body", "body"]
    assert len((await client.get(url)).json()["data"]) == number


async def test_a_skill_has_so_many_versions_and_no_more(
    client: httpx.AsyncClient, api: FastAPI
) -> None:
    skill_id = await create(client)
    pool = api.state.database.pool
    await pool.execute(
        "INSERT INTO skill_version (skill_id, version, org_id, description, body, relevant_topics)"
        " SELECT skill_id, n, org_id, description, body, relevant_topics FROM skill_version,"
        " generate_series(2, $1) n",
        versions.MAX_VERSIONS,
    )
    await pool.execute("UPDATE skill SET latest_version = $1", versions.MAX_VERSIONS)

    url = f"{URL}/id/{skill_id}/versions"
    added = await client.post(url, json={"description": "d", "body": "b"})
    assert fault(added, 409) == ["body", "body"]
    assert (await client.delete(f"{url}/1")).status_code == 204
    added = await client.post(url, json={"description": "d", "body": "b"})
    assert added.json()["data"]["version"] == versions.MAX_VERSIONS + 1


async def test_an_org_has_so_many_skills_and_no_more(
    client: httpx.AsyncClient, api: FastAPI
) -> None:
    await create(client)
    await api.state.database.pool.execute(
        "INSERT INTO skill (id, org_id, name, accessibility, tags, latest_version, created_by,"
        " modified_by) SELECT id || n, org_id, name || n, accessibility, tags, 1, created_by,"
        " modified_by FROM skill, generate_series(2, $1) n",
        store.MAX_SKILLS,
    )

    full = await client.post(f"{URL}/create", json=SKILL | {"name": "more"})
    assert fault(full, 409) == ["body"]

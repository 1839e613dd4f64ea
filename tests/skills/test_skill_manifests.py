"""Skills as manifests: from apply to delete, beside the endpoints of skills."""

from typing import Any

import httpx
from fastapi import FastAPI

from app.access.caller import KeyScope
from tests.support.http import NewKey
from tests.support.manifests import manifest, post, send
from tests.support.threads import data

SPEC: dict[str, Any] = {
    "description": "When asked.",
    "body": "Do it.\n",
    "accessibility": "org",
    "tags": ["b", "a"],
    "relevantTopics": ["/imu"],
}


def skill(name: str = "QA_Review", **changes: Any) -> Any:
    return manifest("Skill", name, SPEC | changes)


async def apply(client: httpx.AsyncClient, document: Any) -> Any:
    return (await post(client, "apply", document))["data"]


async def test_another_text_is_another_version_and_the_same_is_unchanged(
    client: httpx.AsyncClient,
) -> None:
    made = await apply(client, skill())
    status = made["manifest"]["status"]
    assert (made["operation"], status["version"]) == ("created", 1)
    url = f"/v1/skills/id/{status['skillId']}"

    async def numbers() -> list[int]:
        return [one["version"] for one in data(await client.get(f"{url}/versions"))]

    assert (await apply(client, skill()))["operation"] == "unchanged"
    retagged = await apply(client, skill(tags=["a", "b"]))
    assert (retagged["operation"], retagged["manifest"]["spec"]["tags"]) == ("updated", ["a", "b"])
    assert await numbers() == [1]
    for version, changes in enumerate(
        [{"body": "Do it well."}, {"description": "Always."}, {"relevantTopics": []}], 2
    ):
        changed = await apply(client, skill(**changes))
        assert changed["operation"] == "updated"
        assert changed["manifest"]["status"]["version"] == version
        assert changed["manifest"]["spec"] == SPEC | changes
        assert (await apply(client, skill(**changes)))["operation"] == "unchanged"
    assert await numbers() == [4, 3, 2, 1]
    first = data(await client.get(f"{url}/versions/1"))
    assert (first["body"], first["relevant_topics"]) == ("Do it.\n", ["/imu"])


async def test_one_skill_two_doors(client: httpx.AsyncClient) -> None:
    body = {"name": "QA", "description": "d", "body": "b", "tags": ["t"]}
    made = data(await client.post("/v1/skills/create", json=body), 201)

    described = (await post(client, "describe/skill", name="QA"))["data"]
    assert described["spec"] == {
        "description": "d",
        "body": "b",
        "accessibility": "private",
        "tags": ["t"],
        "relevantTopics": [],
    }
    assert described["status"]["skillId"] == made["skill_id"]
    assert (await apply(client, described))["operation"] == "unchanged"
    described["spec"]["body"] = "b2"
    assert (await apply(client, described))["operation"] == "updated"
    stale = await send(client, "apply", described)
    assert stale.status_code == 409

    url = f"/v1/skills/id/{made['skill_id']}"
    data(await client.put(f"{url}/versions/2", json={"body": "b3"}))
    described = (await post(client, "describe/skill", name="QA"))["data"]
    assert (described["spec"]["body"], described["status"]["version"]) == ("b3", 2)
    assert data(await client.get(f"{url}/summary"))["subscription"]["ai_version"] == 1
    [row] = (await post(client, "get/skills"))["data"]["data"]["items"]
    assert (row["name"], row["accessibility"], row["version"]) == ("QA", "private", 2)
    await post(client, "delete/skill", name="QA")
    assert (await client.get(url)).status_code == 404


async def test_the_rules_of_access_hold_for_manifests(
    client: httpx.AsyncClient, new_key: NewKey
) -> None:
    async def use(user: str) -> None:
        key = await new_key(user=f"{user}@acme.example", scopes=[KeyScope.WRITE])
        client.headers["Authorization"] = f"Token {key.api_key}"

    await use("ann")
    for name, accessibility in {"p": "private", "o": "org", "e": "org-editable"}.items():
        await apply(client, skill(name, accessibility=accessibility))

    await use("bob")
    table = (await post(client, "get/skills"))["data"]["data"]["items"]
    assert [row["name"] for row in table] == ["e", "o"]
    assert (await send(client, "describe/skill", name="p")).status_code == 404
    for document in (
        skill("o", body="bob's"),
        skill("o", tags=[]),
        skill("o", accessibility="private"),
        skill("e", accessibility="private"),
    ):
        assert (await send(client, "apply", document)).status_code == 403
    for name in ("o", "e"):
        assert (await send(client, "delete/skill", name=name)).status_code == 403
    edited = await apply(client, skill("e", accessibility="org-editable", body="bob's"))
    assert edited["manifest"]["status"]["version"] == 2

    # A private one of bob's own stands before the org's.
    body = {"name": "o", "description": "d", "body": "mine"}
    data(await client.post("/v1/skills/create", json=body), 201)
    described = (await post(client, "describe/skill", name="o"))["data"]
    assert described["spec"]["body"] == "mine"
    assert (await post(client, "get/skill", name="o"))["data"]["metadata"]["count"] == 1
    clash = await send(client, "apply", skill("o", accessibility="org"))
    assert (clash.status_code, clash.json()["errors"][0]["loc"]) == (409, ["metadata", "name"])
    await post(client, "delete/skill", name="o")
    assert (await post(client, "describe/skill", name="o"))["data"]["spec"]["body"] == "Do it.\n"


async def test_a_manifest_that_is_wrong_is_refused_with_the_place(
    client: httpx.AsyncClient,
) -> None:
    cases: list[tuple[Any, list[Any]]] = [
        (skill("two words"), ["metadata", "name"]),
        (skill("a/b"), ["metadata", "name"]),
        (skill("n" * 121), ["metadata", "name"]),
        (skill(description="d" * 501), ["spec", "description"]),
        (skill(body=None), ["spec", "body"]),
        (skill(accessibility="public"), ["spec", "accessibility"]),
        (skill(tags=["a", "a"]), ["spec", "tags"]),
        (skill(tags=[""]), ["spec", "tags", 0]),
        (skill(relevantTopics="/imu"), ["spec", "relevantTopics"]),
        (skill(version=2), ["spec", "version"]),
        (manifest("Skill", "s", {"description": "d"}), ["spec", "body"]),
    ]
    for document, place in cases:
        answer = await send(client, "apply", document)
        assert answer.status_code == 400, answer.text
        assert [error["loc"] for error in answer.json()["errors"]] == [place]
    assert (await post(client, "get/skills"))["data"]["metadata"]["count"] == 0


async def test_the_skills_of_a_deleted_user_are_those_of_who_deletes_it(
    client: httpx.AsyncClient, api: FastAPI, new_key: NewKey
) -> None:
    admin = client.headers["Authorization"]
    bob = await new_key(user="bob@acme.example")
    client.headers["Authorization"] = f"Token {bob.api_key}"
    for name, accessibility in {"p": "private", "o": "org"}.items():
        await apply(client, skill(name, accessibility=accessibility))
    client.headers["Authorization"] = admin
    await apply(client, skill("anns"))

    await post(client, "delete/authtoken", name=bob.key_id)
    await post(client, "delete/user", name="bob@acme.example")

    table = (await post(client, "get/skills"))["data"]["data"]["items"]
    assert [row["name"] for row in table] == ["anns", "o"]
    for kept, number in {"skill": 2, "skill_subscription": 1}.items():
        rows = await api.state.database.pool.fetch(f"TABLE {kept}")
        assert len(rows) == number
    assert (await apply(client, skill("anns")))["operation"] == "unchanged"
    changed = await apply(client, skill("o", accessibility="private", body="ann's"))
    assert changed["operation"] == "updated"
    await post(client, "delete/skill", name="o")

"""Skills that several clients change at once."""

from asyncio import gather
from typing import Any

import httpx

from tests.support.threads import data

URL = "/v1/skills"
TEXT = {"description": "d", "body": "b"}


async def create(client: httpx.AsyncClient, name: str = "qa") -> httpx.Response:
    return await client.post(f"{URL}/create", json={"name": name, **TEXT})


async def test_versions_that_are_added_at_once_have_a_number_each(
    client: httpx.AsyncClient,
) -> None:
    url = f"{URL}/id/{data(await create(client), 201)['skill_id']}"

    added = await gather(*(client.post(f"{url}/versions", json=TEXT) for _ in range(6)))

    assert sorted(data(one, 201)["version"] for one in added) == [2, 3, 4, 5, 6, 7]
    assert data(await client.get(f"{url}/summary"))["latest_version"]["version"] == 7


async def test_of_skills_of_one_name_that_are_created_at_once_one_is(
    client: httpx.AsyncClient,
) -> None:
    answers = await gather(*(create(client) for _ in range(5)))

    assert sorted(one.status_code for one in answers) == [201, 409, 409, 409, 409]
    assert len(data(await client.get(URL))["items"]) == 1


async def test_tags_that_are_put_at_once_are_all_kept(client: httpx.AsyncClient) -> None:
    url = f"{URL}/id/{data(await create(client), 201)['skill_id']}"

    await gather(*(client.put(url, json={"put_tags": [f"t{n}"]}) for n in range(5)))

    assert sorted(data(await client.get(url))["tags"]) == [f"t{n}" for n in range(5)]


async def test_no_subscription_is_left_at_a_version_that_was_deleted(
    client: httpx.AsyncClient,
) -> None:
    url = f"{URL}/id/{data(await create(client), 201)['skill_id']}"

    for _ in range(5):
        number = data(await client.post(f"{url}/versions", json=TEXT), 201)["version"]
        pin = client.put(f"{url}/subscribe", json={"ai_version": number})
        pinned, deleted = await gather(pin, client.delete(f"{url}/versions/{number}"))
        assert (pinned.status_code, deleted.status_code) in {(200, 204), (400, 204)}
        kept: Any = data(await client.get(f"{url}/summary"))["subscription"]
        assert kept["ai_version"] in (None, 1)

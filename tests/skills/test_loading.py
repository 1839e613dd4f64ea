"""What a turn reads of skills: the versions that it names, and those that a caller is offered."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.access.caller import Caller, KeyScope
from app.access.service import CreatedKey
from app.errors import NotFoundError
from app.skills.service import (
    MAX_OFFERED,
    OfferedSkill,
    SkillText,
    resolve_versions,
    subscribed_versions,
)
from tests.support.http import NewKey

URL = "/v1/skills"


class Member:
    """A member of an org: makes skills over HTTP, and reads them as a turn of theirs does."""

    def __init__(self, api: FastAPI, client: httpx.AsyncClient, key: CreatedKey) -> None:
        self._database = api.state.database
        self._client = client
        self._headers = {"Authorization": f"Bearer {key.api_key}"}
        scopes = frozenset({KeyScope.READ})
        self._caller = Caller(key.org_id, key.user_id, "", key.key_id, scopes)

    async def send(self, method: str, path: str, **body: Any) -> Any:
        answer = await self._client.request(method, URL + path, json=body, headers=self._headers)
        assert answer.is_success, answer.text
        return answer.json()["data"] if answer.content else None

    async def create(self, name: str, body: str = "b1", accessibility: str = "private") -> str:
        fields = {"description": f"d of {body}", "body": body, "accessibility": accessibility}
        made = await self.send("POST", "/create", name=name, **fields)
        return str(made["skill_id"])

    async def resolve(self, *wanted: tuple[str, int | None]) -> list[SkillText]:
        async with self._database.transaction() as db:
            return await resolve_versions(db, self._caller, wanted)

    async def offered(self) -> list[OfferedSkill]:
        async with self._database.transaction() as db:
            return await subscribed_versions(db, self._caller)


@pytest.fixture
async def ann(api: FastAPI, anonymous: httpx.AsyncClient, new_key: NewKey) -> Member:
    return Member(api, anonymous, await new_key())


@pytest.fixture
async def bob(api: FastAPI, anonymous: httpx.AsyncClient, new_key: NewKey) -> Member:
    return Member(api, anonymous, await new_key(user="bob@acme.example"))


async def test_versions_are_read_as_they_are_named_and_the_latest_without_a_number(
    ann: Member, bob: Member
) -> None:
    shared, private = await ann.create("a", accessibility="org"), await bob.create("a", "own")
    await ann.send("POST", f"/id/{shared}/versions", description="d2", body="b2")

    texts = await bob.resolve((shared, None), (private, None), (shared, 1), (shared, 2))

    assert [(text.skill_id, text.version, text.body) for text in texts] == [
        (shared, 2, "b2"),
        (private, 1, "own"),
        (shared, 1, "b1"),
        (shared, 2, "b2"),
    ]
    assert (texts[0].name, texts[0].description, texts[0].relevant_topics) == ("a", "d2", [])
    assert await bob.resolve() == []


async def test_all_that_is_missing_is_named_with_its_place(
    ann: Member, bob: Member, api: FastAPI, anonymous: httpx.AsyncClient, new_key: NewKey
) -> None:
    shared, hidden = await ann.create("a", accessibility="org"), await ann.create("b")
    wanted = ((shared, 1), (shared, 2), (hidden, None), ("sk_nowhere", 1))

    with pytest.raises(NotFoundError, match=f"no version 2. .*{hidden}.*sk_nowhere") as refused:
        await bob.resolve(*wanted)
    places = [fault["loc"] for fault in refused.value.errors]
    assert places == [[1, "version"], [2, "skill_id"], [3, "skill_id"]]
    eve = Member(api, anonymous, await new_key(org="Other", user="eve@other.example"))
    with pytest.raises(NotFoundError) as refused:
        await eve.resolve((shared, 1))
    assert refused.value.errors[0]["loc"] == [0, "skill_id"]


async def test_a_caller_is_offered_what_is_pinned_and_of_two_of_one_name_the_own(
    ann: Member, bob: Member
) -> None:
    pinned, clashing = [await ann.create(name, accessibility="org") for name in ("z", "same")]
    unpinned = await ann.create("unpinned", accessibility="org")
    own = await bob.create("same", "own")
    await ann.send("POST", f"/id/{pinned}/versions", description="d2", body="b2")
    for skill_id in (pinned, clashing):
        await bob.send("PUT", f"/id/{skill_id}/subscribe", ai_version=1)
    await bob.send("POST", f"/id/{unpinned}/subscribe")

    assert await bob.offered() == [
        OfferedSkill(own, 1, "same", "d of own"),
        OfferedSkill(pinned, 1, "z", "d of b1"),
    ]
    await bob.send("DELETE", f"/id/{own}/subscribe")
    await bob.send("PUT", f"/id/{pinned}/subscribe", ai_version=2)
    assert [(one.skill_id, one.version) for one in await bob.offered()] == [
        (clashing, 1),
        (pinned, 2),
    ]
    await ann.send("DELETE", f"/id/{pinned}/versions/2")
    assert [one.name for one in await bob.offered()] == ["same"]


async def test_of_too_many_those_are_offered_that_were_subscribed_last(
    ann: Member, api: FastAPI
) -> None:
    first = await ann.create("first")
    for table, columns in {
        "skill": "org_id, name || n, accessibility, tags, latest_version, created_by, modified_by",
        "skill_version": "version, org_id, description, body, relevant_topics",
        "skill_subscription": "user_id, org_id, ai_version",
    }.items():
        key = "id" if table == "skill" else "skill_id"
        await api.state.database.pool.execute(
            f"INSERT INTO {table} ({key}, {columns.replace(' || n', '')})"  # noqa: S608
            f" SELECT {key} || n, {columns} FROM {table}, generate_series(1, $1) n",
            MAX_OFFERED,
        )

    offered = await ann.offered()

    assert len(offered) == MAX_OFFERED
    assert first not in {one.skill_id for one in offered}
    assert [one.name for one in offered] == sorted(one.name for one in offered)

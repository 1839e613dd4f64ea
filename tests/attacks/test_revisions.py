"""However often an agent or a flow is changed, what is kept of it is bounded."""

from typing import Any

import httpx
import pytest

from app.db.engine import Database
from app.settings import RevisionSettings, Settings
from tests.support.flows import Session, flow_of
from tests.support.manifests import manifest, post

MOST = 3
LONG_AGO = "UPDATE {} SET created = created - interval '1 hour'"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    keep = RevisionSettings(most=MOST, max_bytes=10_000)
    return settings.model_copy(update={"revisions": keep})


def agent(prompt: str) -> Any:
    said = {"role": "user", "content": [{"text": "hello"}]}
    template = {"systemPrompt": prompt, "messages": [said]}
    return manifest("Agent", "changed", {"requestTemplate": template})


def flow(text: str) -> Any:
    return manifest("Flow", "changed", flow_of({"invoke": "echo", "template": text}))


async def revisions(database: Database, table: str) -> list[int]:
    rows = await database.pool.fetch(f"SELECT revision FROM {table} ORDER BY revision")  # noqa: S608
    return [row["revision"] for row in rows]


@pytest.mark.parametrize(
    ("made", "table"), [(agent, "agent_revision"), (flow, "flow_revision")], ids=["agent", "flow"]
)
async def test_old_revisions_are_deleted(
    client: httpx.AsyncClient, database: Database, made: Any, table: str
) -> None:
    for number in range(1, 6):
        await post(client, "apply", made(f"prompt {number}"))
    assert await revisions(database, table) == [1, 2, 3, 4, 5]  # a minute ago 1 was the newest
    await database.pool.execute(LONG_AGO.format(table))

    await post(client, "apply", made("prompt 6"))

    assert await revisions(database, table) == [4, 5, 6]
    history = await post(client, f"history/{made('')['kind']}", name="changed")
    assert len(history["data"]["data"]["items"]) == MOST


async def test_revisions_are_bounded_in_bytes(
    client: httpx.AsyncClient, database: Database
) -> None:
    """What does not compress: 20 bytes of 4 MB were 4 MB more, each time."""
    words = [" ".join(str(hash((number, word))) for word in range(400)) for number in range(3)]
    for text in words[:2]:
        await post(client, "apply", agent(text))
    await database.pool.execute(LONG_AGO.format("agent_revision"))

    await post(client, "apply", agent(words[2]))

    assert await revisions(database, "agent_revision") == [2, 3]


async def test_a_revision_that_a_session_runs_is_kept(
    client: httpx.AsyncClient, database: Database
) -> None:
    sessions = {}
    for number in range(1, 6):
        await post(client, "apply", flow(f"prompt {number}"))
        if number in (2, 4):
            sessions[number] = await Session.start(client, "changed")
    await database.pool.execute(LONG_AGO.format("flow_revision"))

    await post(client, "apply", flow("prompt 6"))

    assert await revisions(database, "flow_revision") == [2, 4, 5, 6]
    asked = await client.get("/v1/ai/flows/changed", params={"revision": 2})
    assert asked.status_code == 200
    assert (await sessions[2].post("user_input")).status_code == 200
    await database.pool.execute("DELETE FROM session WHERE id = $1", sessions[2].id)
    await post(client, "apply", flow("prompt 7"))
    assert await revisions(database, "flow_revision") == [4, 5, 6, 7]

"""The secondary store is read wherever the model is, and loaded only where it is read."""

import asyncpg
import httpx
import pytest

from app.sessions.store.sql import read_sql
from app.settings import Settings
from tests.support.flows import Session


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"flows_package": "tests.support.engine_flows"})


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The keys of each load of values."""
    keys: list[set[str]] = []
    real = asyncpg.Pool.fetch

    async def fetch(pool: asyncpg.Pool, query: str, *arguments: object) -> object:
        if query == read_sql.STORED_VALUES:
            keys.append(set(arguments[1]))  # type: ignore[call-overload] # the keys
        return await real(pool, query, *arguments)

    monkeypatch.setattr(asyncpg.Pool, "fetch", fetch)
    return keys


async def test_values_are_read_by_name_and_no_others_are_loaded(
    client: httpx.AsyncClient, worker: None, loaded: list[set[str]]
) -> None:
    session = await Session.start(client, "archive")
    await session.send("keep", "1000")
    await session.send("work")
    assert loaded == []

    assert (await session.send("render"))["response"] == "a note"
    assert loaded == [{"note"}]
    loaded.clear()
    assert (await session.send("map_"))["response"] == '["a!", "b!"]'
    assert {"large"} not in loaded
    assert set().union(*loaded) == {"list"}
    loaded.clear()
    for event in ("call", "wait"):
        assert (await session.send(event))["response"] == "a note"
    assert set().union(*loaded) == {"note", "list", "large"}


async def test_hooks_and_the_templates_of_states_read_values(
    client: httpx.AsyncClient, loaded: list[set[str]]
) -> None:
    session = await Session.start(client, "archive")
    assert (await session.send("show"))["next_actions"] == [
        "keep",
        "show",
        "work",
        "render",
        "map_",
        "call",
        "wait",
        "drop",
    ]
    await session.send("keep", "1000")
    refused = await session.post("keep", "1")
    assert refused.status_code == 409
    assert "KeyError" in refused.text
    assert loaded == []
    assert (await session.send("show"))["response"] == "a note 3 a note"
    assert loaded[0] == {"note"}
    await session.send("back")
    loaded.clear()
    await session.send("drop")
    assert loaded == []
    assert await session.model("secondary_store.note.text") == "a note"
    assert loaded == [{"note"}]
    stored = (await session.model())["secondary_store"]
    assert {key: [*value] for key, value in stored.items()} == {"note": ["text"], "list": ["items"]}
    assert await session.model("secondary_store.large") is None
    assert await session.model("read") == "3 a note"

"""Sessions that wait for nothing are found and freed; the rows are broken by hand."""

import asyncio

import httpx
import pytest
import structlog

from app.db.engine import Database
from app.main import create_app
from app.sessions.steps.sweep import watchdog
from app.settings import Settings
from app.worker import serving
from tests.support.flows import Session
from tests.support.http import serving as serving_api


@pytest.fixture
def settings(settings: Settings) -> Settings:
    session = settings.session.model_copy(update={"expire_sweep_seconds": 0.05})
    return settings.model_copy(
        update={"flows_package": "tests.support.engine_flows", "session": session}
    )


@pytest.mark.parametrize(
    "fault",
    [
        "state = 'working_'",
        "invocation_id = 'inv_that_never_was'",
        "state = 'working_', invocation_id = (SELECT id FROM invocation)",
    ],
)
async def test_a_session_that_waits_for_nothing_is_put_back_once(
    *,
    client: httpx.AsyncClient,
    database: Database,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    # A logger keeps the configuration of its first use, which may have been another test's.
    monkeypatch.setattr(watchdog, "log", structlog.get_logger(watchdog.__name__))
    async with serving(settings):
        untouched = await Session.start(client, "chained")
        session = await Session.start(client, "chained")
        await session.send("go", "hi")
    await database.pool.execute(f"UPDATE session SET {fault} WHERE id = $1", session.id)  # noqa: S608
    stuck = await session.poll(0)
    assert "go" not in stuck["next_actions"]

    async with serving(settings), serving(settings):  # whoever is second finds it done
        while (await session.poll(0))["next_actions"] != ["go"]:  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.02)
        assert "no invocation was running" in session.answer["error"]
        await asyncio.sleep(0.2)
        events = await database.pool.fetch("SELECT event FROM transition")
        assert [row["event"] for row in events].count("stranded") == 1
        assert [line for line in caplog.text.splitlines() if session.id in line and "ERROR" in line]
        answer = await session.send("go", "again")
    assert answer["error"] is None
    assert (await untouched.poll(0))["error"] is None


@pytest.mark.parametrize("ended_by", ["cancel", "deadline"])
async def test_who_lacks_the_flow_puts_a_session_back_to_where_its_client_acted(
    client: httpx.AsyncClient, database: Database, settings: Settings, ended_by: str
) -> None:
    session = await Session.start(client, "chained")
    await session.post("go", "hi")
    without = settings.model_copy(update={"flows_package": None})
    if ended_by == "cancel":
        async with serving_api(create_app(without)) as other:
            other.headers.update(client.headers)
            answer = await other.post(f"/v1/ai/threads/{session.id}/cancel")
            assert answer.status_code == 200, answer.text
    else:
        await database.pool.execute("UPDATE invocation SET deadline = now()")
        async with serving(without):
            while (await session.poll(0))["next_actions"] == ["poll"]:  # noqa: ASYNC110 - another process's state
                await asyncio.sleep(0.02)
    assert (await session.poll(0))["next_actions"] == ["go"]
    assert session.answer["error"]
    async with serving(settings):
        assert (await session.send("go", "again"))["error"] is None

"""Whoever holds up the event loop is in the log."""

import asyncio
import logging
import time
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from app.api.deps import Reader
from app.api.http.route import ApiRoute
from app.kit.concurrency.loop_lag import watch_loop, works_on
from app.main import create_app
from app.settings import Settings

_SECONDS = 0.3


@pytest.fixture
def api(settings: Settings) -> FastAPI:
    """The application, with an endpoint that holds the event loop."""
    router = APIRouter(route_class=ApiRoute)

    @router.get("/slow/{name}")
    async def slow(caller: Reader, name: str) -> str:
        time.sleep(_SECONDS)  # noqa: ASYNC251 - what must not be
        return caller.org_id

    app = create_app(settings)
    app.include_router(router)
    return app


def warnings(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    messages = [record.msg for record in caplog.records if record.levelno == logging.WARNING]
    return [m for m in messages if isinstance(m, dict) and m["event"] == "event loop held up"]


async def test_a_request_that_holds_the_loop_is_named(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    answer = await client.get("/slow/one", headers={"X-Request-Id": "req_slow"})
    await asyncio.sleep(0.1)

    warning = warnings(caplog)[-1]
    assert warning["lag_ms"] >= _SECONDS * 1000 / 2
    assert warning["org_id"] == answer.json()
    assert (warning["method"], warning["path"]) == ("GET", "/slow/one")
    assert warning["request_id"] == "req_slow"
    assert ":" in warning["where"]


async def test_a_task_that_holds_the_loop_is_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)

    async def step() -> None:
        works_on(step_id="stp_1")
        works_on(org_id="org_1")
        time.sleep(_SECONDS)  # noqa: ASYNC251 - what must not be

    with watch_loop():
        await asyncio.sleep(0.06)
        await asyncio.create_task(step())
        await asyncio.sleep(0.1)
    [warning] = warnings(caplog)
    assert (warning["step_id"], warning["org_id"]) == ("stp_1", "org_1")

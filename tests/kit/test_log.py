"""Logs: one JSON object per line, ids from the context, and never a secret."""

import asyncio
import errno
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from structlog.contextvars import bound_contextvars
from typing_extensions import override

from app.access.keys import generate_key
from app.dev.process import free_port
from app.dev.servers import child_environment
from app.kit.certificates import NO_CERTIFICATES
from app.kit.log import configure_logging, mask
from app.settings import Settings
from app.settings.http import ApiSettings
from tests.support.dev import COMMAND


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    configure_logging("INFO")
    yield
    configure_logging("INFO")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_ids_of_the_context_are_in_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    with bound_contextvars(session_id="ath_1", step_id="stp_1"):
        structlog.get_logger("app.x").info("step done", attempt=2)
        logging.getLogger("uvicorn.error").warning("hello %s", "you")

    ours, foreign = lines(capsys)
    assert ours["event"] == "step done"
    assert ours["attempt"] == 2
    assert (ours["level"], ours["logger"]) == ("info", "app.x")
    assert foreign["event"] == "hello you"
    assert foreign["level"] == "warning"
    for line in (ours, foreign):
        assert (line["session_id"], line["step_id"]) == ("ath_1", "stp_1")
        assert line["timestamp"].endswith("Z")


def test_secrets_are_masked_wherever_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    _, api_key = generate_key()
    error = RuntimeError(f"cannot use {api_key}")
    structlog.get_logger("app.x").error("failed", exc_info=error)
    structlog.get_logger("app.x").info(
        "call",
        headers={"Authorization": "Basic abc", "Accept": "text"},
        nested=[{"client_secret": "4711", "password": "4711"}],
        url="postgresql://me:4711@db.example/x",
        api_key="4711",
    )
    logging.getLogger("arq.worker").info("sent Authorization: Bearer abcdefgh47110815xyz")

    text = capsys.readouterr().err
    assert api_key not in text
    assert "4711" not in text
    assert "Basic abc" not in text
    assert "RuntimeError: cannot use ***" in text
    assert "db.example" in text


def test_what_is_no_secret_stays() -> None:
    kept = {"key_id": "key_1", "keys": 3, "next_token": None, "tokens": 12, "path": "/v1/token"}

    assert mask({**kept, "next_token": "abc"}) == {**kept, "next_token": "***"}


def test_the_level_is_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("WARNING")

    structlog.get_logger("app.level").info("quiet")
    logging.getLogger("arq").info("quiet")
    structlog.get_logger("app.level").warning("loud")

    assert [line["event"] for line in lines(capsys)] == ["loud"]


def test_a_level_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="LOUD"):
        configure_logging("LOUD")


def test_odd_values_are_written_somehow(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.get_logger("app.x").info("odd", value=object(), keys={1: 2}, text="\ud800", big=2**70)

    [line] = lines(capsys)
    assert line["event"] == "odd"


class Unwritable(io.StringIO):
    """Stderr on a full disk."""

    @override
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("stderr", [None, io.StringIO(), Unwritable()])
async def test_a_line_that_cannot_be_written_is_nobody_s_error(
    anonymous: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, stderr: io.StringIO | None
) -> None:
    if type(stderr) is io.StringIO:
        stderr.close()
    monkeypatch.setattr(sys, "stderr", stderr)

    assert (await anonymous.get("/nowhere")).json()["type"] == "urn:statewright:problem:not-found"
    assert (await anonymous.get("/v1/ai/agents")).status_code == 401
    logging.getLogger("x").error("lost %s")


@pytest.fixture
def unlogged(settings: Settings) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """The API's address, and an API and a worker whose output goes to a full disk."""
    port = free_port()
    settings = settings.model_copy(update={"api": ApiSettings(port=port)})
    environment = child_environment(settings)
    environment["STATEWRIGHT_REDIS_PREFIX"] = settings.redis_prefix
    with Path("/dev/full").open("w") as full:
        children = [
            subprocess.Popen([*COMMAND, command], env=environment, stdout=full, stderr=full)
            for command in ("api", "worker")
        ]
    yield f"http://127.0.0.1:{port}", children
    for child in children:
        child.kill()
        child.wait()


@pytest.mark.slow
async def test_the_api_and_a_worker_start_with_an_unwritable_log(
    unlogged: tuple[str, list[subprocess.Popen[bytes]]],
) -> None:
    base_url, children = unlogged
    async with (
        httpx.AsyncClient(base_url=base_url, verify=NO_CERTIFICATES) as client,
        asyncio.timeout(60),
    ):
        while not await is_ready(client):
            assert [child.poll() for child in children] == [None, None]
            await asyncio.sleep(0.05)
        assert (await client.get("/nowhere")).json()["title"] == "Not Found"


async def is_ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/health/ready")).is_success
    except httpx.TransportError:
        return False

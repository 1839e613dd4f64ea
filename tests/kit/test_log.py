"""Logs: one JSON object per line, ids from the context, and never a secret."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.contextvars import bound_contextvars

from app.access.keys import generate_key
from app.kit.log import configure_logging, mask


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

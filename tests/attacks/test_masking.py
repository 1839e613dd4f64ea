"""Masking takes time in proportion to the text, and no cut leaves a part of a secret."""

import time
from typing import Any

import httpx
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from app.access.keys import generate_key
from app.kit.log import MAX_TEXT, configure_logging, mask
from tests.support.manifests import manifest, post

# The attack took 5 s; what is allowed is for a slow machine.
_SECONDS = 0.25

_PIECES = st.sampled_from(
    ["://", ":", "@", "/", "a", "0", " ", "\n", "=", "~", "-", "_", "sk-", "swk_", "bearer ",
     "token ", "Basic ", "Bearer", "é", "\x00", "\ud800"]
)  # fmt: skip
_RUNS = st.lists(st.tuples(_PIECES, st.sampled_from([1, 2, 300, 20_000])), min_size=1, max_size=5)


def seconds_to_mask(value: Any) -> float:
    began = time.thread_time()
    mask(value)
    return time.thread_time() - began


@pytest.mark.parametrize("repeated", [":", "a:", "://", "://:", "a@", "sk-", "swk_", "token "])
def test_masking_a_long_text_is_quick(repeated: str) -> None:
    assert seconds_to_mask("://" + repeated * 20_000) < _SECONDS
    assert seconds_to_mask({"spec": {"systemPrompt": "://" + repeated * 1_000_000}}) < _SECONDS


@given(runs=_RUNS)
def test_masking_is_quick_whatever_the_text(runs: list[tuple[str, int]]) -> None:
    assert seconds_to_mask("".join(piece * count for piece, count in runs)) < _SECONDS


_, API_KEY = generate_key()
SECRETS = {
    API_KEY: "swk_",
    "sk-" + "q7" * 20: "q7q7",
    "Bearer " + "q7" * 30: "q7q7",
    "Authorization: Basic " + "q7" * 20 + "==": "q7q7",
    "postgresql://me:q7q7q7q7q7@db.example/x": "q7q7",
}


@pytest.mark.parametrize(("secret", "part"), SECRETS.items(), ids=range(len(SECRETS)))
@pytest.mark.parametrize("shorter", ["", "swk_" + "x" * 1_000 + " ", "://:@ " * 400])
def test_a_secret_at_the_place_of_a_cut_is_masked(secret: str, part: str, shorter: str) -> None:
    """Wherever the cut goes through it; also where what stands before becomes shorter or longer."""
    for offset in range(0, len(secret) + 4, 3):
        for place in (MAX_TEXT, MAX_TEXT + 4_000):
            before = (shorter + "." * place)[: place - offset - 1]
            shown = mask(f"{before} {secret} {'.' * 10_000}")
            assert part not in shown
            assert len(shown) < MAX_TEXT + 100


def test_a_text_that_is_not_too_long_is_kept_whole() -> None:
    assert mask("x" * MAX_TEXT) == "x" * MAX_TEXT
    assert mask("x" * (MAX_TEXT + 1)).endswith("x… [cut]")


def test_an_object_in_a_log_line_is_masked_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO")
    structlog.get_logger("app.x").warning("failed", why=RuntimeError(f"cannot use {API_KEY}"))

    assert API_KEY not in capsys.readouterr().err


async def test_a_hostile_path_costs_nothing_before_the_key(anonymous: httpx.AsyncClient) -> None:
    configure_logging("INFO")
    began = time.thread_time()
    answer = await anonymous.get("/x" + "://" + ":" * 20_000)
    assert time.thread_time() - began < _SECONDS
    assert answer.status_code == 404


async def test_the_journal_of_a_hostile_prompt_costs_little(client: httpx.AsyncClient) -> None:
    said = {"role": "user", "content": [{"text": "hello"}]}
    template = {"systemPrompt": "://" + ":" * 20_000, "messages": [said]}
    agent = manifest("Agent", "slow", {"requestTemplate": template})
    began = time.thread_time()
    await post(client, "apply", agent)
    assert time.thread_time() - began < 2

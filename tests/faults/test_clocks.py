"""Processes whose clocks are wrong, beside others whose clocks are right."""

import statistics
import time
from email.utils import parsedate_to_datetime

import httpx
import pytest

from tests.faults.checks import check_all
from tests.faults.load import Client, Conversation
from tests.faults.system import CLOCKS, System

pytestmark = [pytest.mark.faults, pytest.mark.slow]

_TURNS = 5


async def test_a_turn_takes_no_longer_at_an_api_whose_clock_is_fast(
    system: System, client: Client
) -> None:
    """Nor where its step is done by a worker whose clock is slow."""
    conversations: list[Conversation] = []

    async def seconds_at(base_url: str) -> float:
        """What a turn takes at this API alone, in the middle."""
        took = []
        for _ in range(_TURNS):
            conversation = Conversation(Client(client.http, [base_url]))
            began = time.monotonic()
            await conversation.say("Hi")
            await conversation.answered()
            took.append(time.monotonic() - began)
            conversations.append(conversation)
        return statistics.median(took)

    right, fast = [await seconds_at(url) for url in system.base_urls]

    assert await _clock(client.http, system.base_urls[1]) - await _clock(
        client.http, system.base_urls[0]
    ) == pytest.approx(CLOCKS["api-1"], abs=30)
    assert fast < right + 1.0
    await check_all(system, client, conversations)


async def _clock(http: httpx.AsyncClient, base_url: str) -> float:
    """What the API's clock says, as seconds."""
    shown = (await http.get(f"{base_url}/health/live")).headers["date"]
    return parsedate_to_datetime(shown).timestamp()

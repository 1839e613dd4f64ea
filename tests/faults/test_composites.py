"""Workers are killed and Redis is flushed in the middle of composites."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import orjson
import pytest

from app.kit.certificates import NO_CERTIFICATES
from tests.faults.system import System, until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

_ITEMS = 60

# The echo model pauses before each word; the second map needs every result of the first.
_FLOW = """
apiVersion: statewright/v1
kind: Flow
metadata: {name: spread}
spec:
  model: {items: {type: array, items: {type: integer}, default: []}}
  statechart:
    states:
      waiting: {initial: true, transitions: [{event: go, target: working}]}
      working: {transitions: [{event: done, target: waiting}]}
  templates:
    waiting: "{{ actor_input }}"
    working:
      chain:
        - map: {over: items, template: {invoke: echo, template: "{{ map_value }}"}}
        - map: {over: parsed_previous_result, template: "{{ map_index }}={{ map_value }}"}
"""

_DONE = "SELECT count(*) FROM step WHERE status = 'done' AND kind = 'leaf'"
_OPEN = "SELECT count(*) FROM step WHERE status NOT IN ('done', 'superseded')"


async def test_composites_survive_killed_workers_and_a_flushed_redis(system: System) -> None:
    headers = {"Authorization": f"Bearer {system.api_key}"}
    async with httpx.AsyncClient(
        base_url=system.base_urls[0],
        headers=headers,
        verify=NO_CERTIFICATES,
        timeout=60,
        trust_env=False,
    ) as http:
        applied = await http.post("/api/v1/cli/apply/", content=_FLOW)
        assert applied.is_success, applied.text
        sessions = [await _start(http) for _ in range(3)]

        await until(_done(system, _ITEMS // 3), what="some steps are done")
        await system.kill(system.workers[0])
        await until(_done(system, _ITEMS), what="the other worker goes on")
        await system.flush_redis()
        await system.kill(system.workers[1])
        await asyncio.gather(*(worker.start() for worker in system.workers))

        answers = await asyncio.gather(*(_answer(http, session) for session in sessions))

    wanted = [f"{i}=[echo model] You said: {i}" for i in range(_ITEMS)]
    assert [orjson.loads(answer) for answer in answers] == [wanted] * 3
    assert await system.value(_OPEN) == 0


async def _start(http: httpx.AsyncClient) -> str:
    seed = {"seed_data": {"items": list(range(_ITEMS))}}
    session: str = (await http.post("/v1/ai/spread/start_session", json=seed)).json()["session_id"]
    await _event(http, session, "go")
    return session


async def _answer(http: httpx.AsyncClient, session: str) -> str:
    """The result; progress never goes back on the way."""
    seen = 0
    async with asyncio.timeout(60):
        while True:
            answer = await _event(http, session, "poll")
            if answer["next_actions"] != ["poll"]:
                assert answer["error"] is None
                response: str = answer["response"]
                return response
            assert answer["progress"]["number_of_subtasks_executed"] >= seen
            seen = answer["progress"]["number_of_subtasks_executed"]


async def _event(http: httpx.AsyncClient, session: str, event: str) -> dict[str, Any]:
    body = {"session_id": session, "event": event}
    response = await http.post("/v1/ai/spread/event", params={"wait": 5}, json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def _done(system: System, count: int) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return bool(await system.value(_DONE) >= count)

    return check

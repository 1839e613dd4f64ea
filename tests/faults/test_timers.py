"""Workers are lost while timers are due: each event is sent once all the same."""

import asyncio

import httpx
import pytest

from app.kit.certificates import NO_CERTIFICATES
from tests.faults.checks import check_database
from tests.faults.system import System, until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

_SESSIONS = 30
_SECONDS = 2

_FLOW = f"""
apiVersion: statewright/v1
kind: Flow
metadata: {{name: reminding}}
spec:
  statechart:
    states:
      user_turn:
        initial: true
        after: {{{_SECONDS}s: remind}}
        transitions: [{{event: remind}}, {{event: go, target: user_turn}}]
  templates: {{user_turn: "Well?"}}
"""

# The database takes no event of a timer, as if it was away just then.
_REFUSE = """
CREATE FUNCTION refuse_timer() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'away' USING ERRCODE = '57P03'; END $$;
CREATE TRIGGER refuse_timer BEFORE INSERT ON transition FOR EACH ROW
  WHEN (NEW.cause LIKE 'timer:%') EXECUTE FUNCTION refuse_timer()"""
_TAKE = "DROP FUNCTION refuse_timer CASCADE"

_TAKEN = """
SELECT count(*) FROM session
WHERE flow = 'reminding'
  AND timer_due IS DISTINCT FROM (chart->'timers'->0->>'due')::timestamptz"""
_PENDING = "SELECT count(*) FROM session WHERE flow = 'reminding' AND timer_due IS NOT NULL"
_SENT = """
SELECT count(*) FROM transition t JOIN session s ON s.id = t.session_id
WHERE s.flow = 'reminding' AND t.event = 'remind' AND t.cause LIKE 'timer:%' AND t.refusal IS NULL
GROUP BY s.id"""


async def test_each_timer_sends_its_event_once_whoever_is_killed(system: System) -> None:
    await system.apply([_FLOW])
    await system.query_script(_REFUSE)
    try:
        sessions = await _start(system)

        async def are_taken() -> bool:
            return bool(await system.value(_TAKEN))

        await until(are_taken, what="workers have taken sessions whose timers are due")
        for worker in system.workers:
            await system.kill(worker)
    finally:
        await system.query_script(_TAKE)
    await system.flush_redis()
    await system.restore()

    async def are_sent() -> bool:
        return await system.value(_PENDING) == 0

    await until(are_sent, what="the events of all timers are sent")
    assert [row[0] for row in await system.query(_SENT)] == [1] * len(sessions)
    await check_database(system)


async def _start(system: System) -> list[str]:
    async with httpx.AsyncClient(
        base_url=system.base_urls[0],
        headers={"Authorization": f"Bearer {system.api_key}"},
        verify=NO_CERTIFICATES,
        timeout=60,
        trust_env=False,
    ) as http:

        async def start() -> str:
            started = await http.post("/v1/ai/reminding/start_session", json={})
            assert started.is_success, started.text
            session_id: str = started.json()["session_id"]
            return session_id

        return await asyncio.gather(*(start() for _ in range(_SESSIONS)))

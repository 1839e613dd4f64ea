"""Workers are lost around the wait of a step for a session that it started."""

import pytest

from tests.faults.checks import check_database
from tests.faults.load import Client, Conversation
from tests.faults.system import System, until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

# The database takes no statement that moves a step so, as if it was away just then.
_REFUSE = """
CREATE FUNCTION refuse_step() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'away' USING ERRCODE = '57P03'; END $$;
CREATE TRIGGER refuse_step BEFORE UPDATE ON step FOR EACH ROW
  WHEN (OLD.status = '{}' AND NEW.status = '{}') EXECUTE FUNCTION refuse_step()"""
_TAKE = "DROP FUNCTION refuse_step CASCADE"


@pytest.mark.parametrize(
    ("before", "after"),
    [("running", "waiting"), ("waiting", "queued")],
    ids=["before the wait", "before the wake-up"],
)
async def test_a_step_finds_the_session_that_it_started(
    system: System, client: Client, before: str, after: str
) -> None:
    request = {
        "model_profile": "script",
        "messages": [{"role": "user", "content": [{"text": "Here."}]}],
    }
    agent = {"name": f"clerk-{after}", "request_template": request}
    url = f"{client.base_urls[0]}/v1/ai/agents"
    assert (await client.http.post(url, json=agent)).status_code == 201
    tool = {"type": "agent", "agent": agent["name"], "name": "clerk"}
    script = {"role": "user", "content": [{"text": "call clerk\nthen\nI see."}]}
    body = {"messages": [script], "model_profile": "script", "tools": [tool]}
    conversation = Conversation(client)

    await system.query_script(_REFUSE.format(before, after))
    try:
        conversation.thread_id = (await client.data("POST", "", json=body))["thread_id"]
        answered = """SELECT count(*) FROM session s JOIN step t ON t.waits_for = s.id
        WHERE t.session_id = $1 AND t.status = $2 AND s.state = 'user_turn'"""

        async def is_there() -> bool:
            return await system.value(answered, conversation.thread_id, before) == 1

        await until(is_there, what="the session that the step started has answered")
        for worker in system.workers:
            await system.kill(worker)
    finally:
        await system.query_script(_TAKE)
    await system.restore()
    await system.flush_redis()
    await conversation.answered()

    thread = await client.data("GET", f"/{conversation.thread_id}")
    [result] = thread["messages"][2]["content"]
    assert (result["status"], result["payload"]) == ("success", "Here.")
    children = "SELECT count(*) FROM session WHERE parent_session_id = $1"
    assert await system.value(children, conversation.thread_id) == 1
    await check_database(system)

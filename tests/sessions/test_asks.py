"""Flows that ask people: steps that an answer finishes, over HTTP with a real worker."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.settings import Settings
from app.worker import serving
from tests.sessions.test_actions import ACTIONS, listed, resolve
from tests.sessions.test_yaml_flows import save
from tests.support.flows import Session
from tests.support.http import NewKey
from tests.support.threads import data

AMOUNT = {
    "type": "object",
    "properties": {"amount": {"type": "number", "minimum": 0}, "note": {"type": "string"}},
    "required": ["amount"],
}
ASK = {"message": "Refund {{ actor_input }}?", "schema": AMOUNT}
PAID = "{{ parsed_previous_result.amount }} of {{ actor_input }}"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """What is late ends soon."""
    session = settings.session.model_copy(update={"expire_sweep_seconds": 0.1})
    return settings.model_copy(update={"session": session})


@pytest.fixture(autouse=True)
async def _worker(settings: Settings) -> AsyncIterator[None]:
    async with serving(settings):
        yield


class Asking:
    """A flow whose one invoker state has a template, with a session of it."""

    def __init__(self, client: httpx.AsyncClient, session: Session) -> None:
        self.client = client
        self.session = session

    async def asked(self, actions: int = 1) -> list[dict[str, Any]]:
        """What it asks, once it asks for so many answers."""
        while len((answer := await self.session.poll())["required_actions"]) != actions:
            assert answer["next_actions"] == ["poll"], answer
        found: list[dict[str, Any]] = answer["required_actions"]
        return found

    async def ended(self) -> dict[str, Any]:
        """Its last answer, once nothing runs."""
        while (answer := await self.session.poll())["next_actions"] == ["poll"]:
            pass
        assert answer["required_actions"] == []
        assert await listed(self.client, status="open", session=self.session.id) == []
        return answer


async def ask(
    api: FastAPI, client: httpx.AsyncClient, new_key: NewKey, template: Any, **fields: Any
) -> Asking:
    """A session of a flow with that template, to which something was said."""
    spec = {
        "statechart": {
            "states": {
                "waiting": {
                    "initial": True,
                    "transitions": [{"event": "user_input", "target": "working"}],
                },
                "working": {"transitions": [{"event": "worked", "target": "waiting"}]},
            }
        },
        "templates": {"waiting": "{{ actor_input }}", "working": template},
    }
    await save(api, await new_key(), "refunds", spec)
    session = await Session.start(client, "refunds")
    said = fields.get("said", "order 7")
    assert (await session.post("user_input", said)).status_code == 200
    return Asking(client, session)


@pytest.fixture
def start(api: FastAPI, client: httpx.AsyncClient, new_key: NewKey) -> Any:
    """Starts a session of a flow with a template."""
    return lambda template, **fields: ask(api, client, new_key, template, **fields)


async def test_a_step_waits_for_an_answer_which_is_its_result(
    client: httpx.AsyncClient, start: Any
) -> None:
    asking = await start({"chain": [{"ask": ASK}, PAID]})
    [action] = await asking.asked()

    assert (action["kind"], action["status"]) == ("input", "open")
    assert (action["question"], action["answer_schema"]) == ("Refund order 7?", AMOUNT)
    assert (action["thread_id"], action["on_expiry"]) == (asking.session.id, "fail")
    assert (action["tool_use_id"], action["tool_name"], action["arguments"]) == (None, None, {})
    assert await listed(client, kind="input", session=asking.session.id) == [action]
    assert data(await client.get(f"{ACTIONS}/{action['action_id']}")) == action
    state = await client.get(f"/v1/ai/refunds/task_state/{asking.session.id}")
    assert state.json()["next_actions"] == ["poll"]

    given = {"amount": 5.5, "note": "só"}
    record = data(await resolve(client, action, "answer", result=given, message="Fine."))
    assert (record["status"], record["decision"], record["result"]) == ("answered", "answer", given)
    assert record["resolved_by"]
    assert (await asking.ended())["response"] == "5.5 of order 7"
    assert data(await resolve(client, action, "answer", result=given)) == record

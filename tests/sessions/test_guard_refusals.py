"""What a client reads whose event a guard refuses, in flows from manifests and in code."""

from typing import Any

import httpx
import pytest
import yaml
from fastapi import FastAPI

from app.settings import Settings
from tests.sessions.test_yaml_flows import save
from tests.support.flows import Session
from tests.support.http import NewKey

BOOKING = """
model:
  rooms: {type: integer, default: 2}
statechart:
  states:
    hotel:
      initial: true
      transitions:
        - {event: leave, target: gone, unless: "rooms == 0", refusal: Somebody has to stay.}
      states:
        asking:
          initial: true
          transitions:
            - event: book
              target: booked
              cond: ["parsed_actor_input.guests > 0", "parsed_actor_input.guests <= 2 * rooms"]
              refusal: "A booking is for 1 to 4 guests."
            - event: book
              target: booked
              cond: parsed_actor_input.staff
              refusal: never the first
            - {event: hurry, target: booked, cond: "rooms > 2"}
        booked: {}
    gone: {final: true}
templates: {asking: How many, booked: Booked., gone: Bye.}
"""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"flows_package": "tests.support.engine_flows"})


async def refused(session: Session, event: str, text: str) -> dict[str, Any]:
    answer = await session.post(event, text)
    assert answer.status_code == 409, answer.text
    problem: dict[str, Any] = answer.json()
    assert problem["type"].endswith("event-not-accepted")
    assert problem["received_event"] == event
    assert event in problem["possible_events"]
    return problem


async def test_a_guard_of_a_manifest_says_why_it_refuses(
    api: FastAPI, client: httpx.AsyncClient, new_key: NewKey
) -> None:
    await save(api, await new_key(), "booking", yaml.safe_load(BOOKING))
    session = await Session.start(client, "booking", {"rooms": 0})

    problem = await refused(session, "book", '{"guests": 1}')
    assert problem["detail"] == "A booking is for 1 to 4 guests."
    assert problem["current_state"] == "hotel asking"
    assert problem["refused_by"] == {
        "state": "asking",
        "guard": "parsed_actor_input.guests <= 2 * rooms",
    }
    problem = await refused(session, "leave", "")
    assert problem["detail"] == "Somebody has to stay."
    assert problem["refused_by"] == {"state": "hotel", "guard": "!rooms == 0"}
    problem = await refused(session, "hurry", "")
    assert problem["detail"] == "State 'hotel asking' does not take the event 'hurry'."
    assert "refused_by" not in problem
    assert (await session.send("book", '{"staff": true}'))["response"] == "Booked."


@pytest.mark.parametrize("flow", ["admitting", "async_admitting"])
async def test_a_guard_in_code_says_why_it_refuses(client: httpx.AsyncClient, flow: str) -> None:
    session = await Session.start(client, flow)

    for text, detail, guard in (
        ("child", "You must be 18.", "is_adult"),
        ("adult ticket full", "There is no room.", "!is_full"),
    ):
        problem = await refused(session, "enter", text)
        assert problem["detail"] == detail
        assert problem["refused_by"] == {"state": "door", "guard": guard}
    assert "does not take" in (await refused(session, "enter", "adult"))["detail"]
    assert (await refused(session, "leave", ""))["detail"] == "This is not your door."
    assert (await session.send("enter", "adult ticket"))["response"] == "inside"

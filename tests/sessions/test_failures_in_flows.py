"""A failed step is told from an answer: by `task_error`, and by a transition of its own."""

import httpx
import orjson
import pytest
import yaml
from fastapi import FastAPI

from app.settings import Settings
from tests.sessions.test_yaml_flows import save
from tests.support.flows import Session
from tests.support.http import NewKey

# `fragile` fails unless it is told `fine`.
FAILING = """
model:
  reason: {type: [string, "null"], default: null}
  failures: {type: integer, default: 0}
statechart:
  states:
    asking:
      initial: true
      transitions:
        - {event: normal, target: fragile}
        - {event: caught, target: guarded}
    fragile:
      transitions:
        - event: done
          target: broken
          cond: task_error != null
          "on": [{assign: {location: reason, expr: task_error}}]
        - {event: done, target: shown}
    guarded:
      transitions:
        - event: error
          target: rescued
          cond: failures < 1
          "on":
            - {assign: {location: reason, expr: actor_input}}
            - {assign: {location: failures, expr: failures + 1}}
        - {event: done, target: broken, cond: task_error != null}
        - {event: done, target: shown}
    rescued: {transitions: [{event: again, target: asking}]}
    broken: {transitions: [{event: again, target: asking}]}
    shown: {transitions: [{event: again, target: asking}]}
templates:
  asking: "asking{% if task_error %} after {{ task_error }}{% endif %}"
  fragile: &fragile
    invoke: verbatim
    template: "{{ actor_input if actor_input == 'fine' else 1 // 0 }}"
  guarded: *fragile
  rescued: "rescued from {{ reason }}"
  broken: "broken by {{ task_error }}; said {{ actor_input | tojson }}"
  shown: "shown {{ actor_input }}"
"""


async def test_a_failure_is_told_from_an_answer_in_yaml(
    api: FastAPI, client: httpx.AsyncClient, new_key: NewKey, worker: None
) -> None:
    await save(api, await new_key(), "failing", yaml.safe_load(FAILING))
    session = await Session.start(client, "failing")
    assert (await session.send("normal", "fine"))["response"] == "shown fine"
    await session.send("again")

    answer = await session.send("normal", "bad")
    error = answer["error"]
    assert "division" in error
    assert answer["response"] == f'broken by {error}; said ""'
    assert await session.model("reason") == error
    assert (await session.send("again"))["response"] == "asking"

    answer = await session.send("caught", "bad")
    assert answer["response"] == f"rescued from {answer['error']}"
    await session.send("again")
    # Its guard does not hold any more, so that the usual event has to do.
    answer = await session.send("caught", "bad")
    assert answer["response"] == f'broken by {answer["error"]}; said ""'


class TestInCode:
    """The same of a flow in code."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"flows_package": "tests.support.engine_flows"})

    async def test_a_failure_is_told_from_an_answer(
        self, client: httpx.AsyncClient, worker: None
    ) -> None:
        session = await Session.start(client, "rescuing")
        assert (await session.send("normal", "fine"))["response"] == "shown fine"
        answer = await session.send("normal", "bad")
        assert answer["response"] == f"broken by {answer['error']}"
        assert await session.model("seen") == [None, None, None, answer["error"]]
        answer = await session.send("caught", "bad")
        assert answer["response"] == f"rescued from {answer['error']}"
        answer = await session.send("caught", "bad")
        assert answer["response"] == f"broken by {answer['error']}"
        assert (await session.send("normal", "fine"))["error"] is None

    async def test_an_error_says_where_its_template_is(
        self, client: httpx.AsyncClient, worker: None
    ) -> None:
        session = await Session.start(client, "misplaced")
        answer = await session.send("go")
        place = "Template of state 'works', step '/1/b'"
        assert answer["error"] == f"{place}: line 2: ZeroDivisionError: division by zero"

    async def test_an_object_that_an_invoker_gives_is_json(
        self, client: httpx.AsyncClient, worker: None
    ) -> None:
        session = await Session.start(client, "misplaced")
        answer = await session.send("ask")
        assert orjson.loads(answer["response"]) == {"said": "it's", "more": [1, None]}

    async def test_a_queue_that_nobody_serves_is_told_of(
        self, client: httpx.AsyncClient, worker: None
    ) -> None:
        warning = "No worker serves the queue 'gpu': its steps wait until one does."
        session = await Session.start(client, "misplaced")
        await session.post("wait")
        assert (await session.poll(wait=0))["warnings"] == [warning]
        flow = {
            "statechart": {
                "states": {
                    "asks": {"initial": True, "transitions": [{"event": "go", "target": "works"}]},
                    "works": {"transitions": [{"event": "done", "target": "asks"}]},
                }
            },
            "templates": {
                "asks": "",
                "works": {
                    "chain": [
                        {"queue": "default", "template": {"invoke": "verbatim", "template": ""}},
                        {"queue": "gpu", "template": {"invoke": "verbatim", "template": ""}},
                    ]
                },
            },
        }
        manifest = {"apiVersion": "statewright/v1", "kind": "Flow", "spec": flow}
        applied = await client.post(
            "/api/v1/cli/apply/", json={**manifest, "metadata": {"name": "with-gpu"}}
        )
        assert applied.status_code == 200, applied.text
        assert applied.json()["data"]["warnings"] == [
            {"loc": ["spec", "templates", "works", "chain", 1, "queue"], "msg": warning}
        ]

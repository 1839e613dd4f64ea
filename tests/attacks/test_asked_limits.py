"""What flows of tenants ask for is bounded by the operator, also where it was stored before."""

from typing import Any

import httpx
import pytest

from app.db.engine import Database
from app.settings import LimitSettings, Settings
from app.worker import serving
from tests.support.flows import Session, flow_of
from tests.support.manifests import manifest, post, send

LEAF = {"invoke": "echo", "template": "one two three"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"limits": LimitSettings()})


@pytest.mark.parametrize(
    ("asked", "where", "said"),
    [
        ({"timeout": 601}, ["timeout"], "allows 600 seconds at the most"),
        ({"retries": 10}, ["retries"], "allows 9 retries at the most"),
        (
            {"retry": {"maximum_attempts": 11}},
            ["retry", "maximum_attempts"],
            "allows 10 attempts at the most",
        ),
    ],
)
async def test_a_flow_that_asks_for_too_much_is_refused(
    client: httpx.AsyncClient, asked: dict[str, Any], where: list[str], said: str
) -> None:
    template = {"chain": ["first", {"parallel": {"one": LEAF | asked}}]}

    refused = await send(client, "apply", manifest("Flow", "greedy", flow_of(template)))

    assert refused.status_code == 400
    (fault,) = refused.json()["errors"]
    place = ["spec", "templates", "working", "chain", 1, "parallel", "one"]
    assert (fault["loc"], fault["msg"]) == ([*place, *where], f"this service {said}")


async def test_a_flow_names_queues_that_are_for_tenants(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    flow = manifest("Flow", "greedy", flow_of({"queue": "gpu", "template": LEAF}))

    refused = await send(client, "apply", flow)

    assert refused.status_code == 400
    (fault,) = refused.json()["errors"]
    assert "queue 'gpu' is not for flows of manifests; those are: default" in fault["msg"]
    settings.limits.queues.append("gpu")
    assert (await send(client, "apply", flow)).status_code == 200


async def test_what_is_stored_already_gets_no_more_either(
    client: httpx.AsyncClient, settings: Settings, database: Database
) -> None:
    settings.limits.queues.append("gpu")
    settings.worker.queues = ["default", "gpu"]
    slow = LEAF | {"timeout": 300, "retries": 8, "config": {"delay_seconds": 5}}
    await post(client, "apply", manifest("Flow", "patient", flow_of(slow)))
    queued = flow_of({"queue": "gpu", "template": LEAF})
    await post(client, "apply", manifest("Flow", "queued", queued))

    settings.limits = LimitSettings(timeout_seconds=0.05, attempts=2)
    async with serving(settings):
        late = await (await Session.start(client, "patient")).send("user_input", "go")
        refused = await (await Session.start(client, "queued")).send("user_input", "go")

    assert late["error"] == "No answer within 0.05 seconds."
    assert await database.pool.fetchval("SELECT max(attempt) FROM step") == 2
    assert refused["error"] == "Queue 'gpu' is not for flows of manifests."

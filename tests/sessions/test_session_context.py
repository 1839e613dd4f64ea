"""What the user's client shows, and the span of time to look at: tools are told, and keep to it."""

import json
from typing import Any

import httpx
import pytest

from app.settings import Settings
from tests.support.http_server import HttpServer, Says
from tests.support.manifests import apply_entity, manifest, post
from tests.support.mcp_server import McpServer, tool
from tests.support.shop import declare, reachable
from tests.support.threads import answered, data, results, said

pytestmark = pytest.mark.usefixtures("worker")

SCOPE = {"start_time": 10, "end_time": 1_900_000_000_000_000_000}
ABOUT: dict[str, Any] = {"analysis_scope": SCOPE, "client_context": {"dataset_ids": ["ds_é"]}}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """This machine may be reached."""
    return reachable(settings)


async def asked(
    client: httpx.AsyncClient, script: str, tools: list[Any], **about: Any
) -> dict[str, Any]:
    return await answered(client, script, model_profile="script", tools=tools, **about)


def contexts_sent(shop: HttpServer) -> list[tuple[Any, Any]]:
    """The scope, and the datasets that are shown, as each request says them."""
    return [
        (
            json.loads(request.headers.get("x-statewright-analysis-scope", "null")),
            json.loads(request.headers.get("x-statewright-client-context", "{}")).get(
                "dataset_ids"
            ),
        )
        for request in shop.requests
    ]


async def test_an_api_is_told_by_headers_that_no_argument_replaces(
    client: httpx.AsyncClient, shop: HttpServer
) -> None:
    header = "x-statewright-analysis-scope"
    http = {"connection": "shop", "method": "GET", "path": "/", "arguments": {header: "header"}}
    schema = {"properties": {header: {"type": "string"}}}
    await declare(client, "look", approval="never", inputSchema=schema, http=http)
    shop.script(Says("1"), Says("2"), Says("3"))
    call = f'call look {{"{header}": "all of it"}}'
    await asked(client, call, ["look"], **ABOUT)
    too_long = {"misc_context": {"text": "x" * 5_000}}
    await asked(client, "call look", ["look"], client_context=too_long)
    await asked(client, "call look", ["look"])
    assert contexts_sent(shop) == [(SCOPE, ["ds_é"]), (None, None), (None, None)]


async def test_an_agent_that_is_called_looks_at_what_the_caller_does(
    client: httpx.AsyncClient, shop: HttpServer
) -> None:
    http = {"connection": "shop", "method": "GET", "path": "/"}
    await declare(client, "look", approval="never", inputSchema={}, http=http)
    shop.script(Says("1"), Says("2"))
    own = {"analysis_scope": {"start_time": 5, "end_time": 7}}
    for name, template in (("plain", {}), ("own", own | {"client_context": {}})):
        request = {"model_profile": "script", "messages": [said("call look")], "tools": ["look"]}
        body = {"name": name, "request_template": request | template}
        data(await client.post("/v1/ai/agents", json=body), 201)
    agents = [{"type": "agent", "agent": name} for name in ("plain", "own")]
    narrow = ABOUT | {"analysis_scope": {"end_time": 6}}
    script = "call plain\nthen\ncall own\nthen"
    thread = await asked(client, script, agents, **narrow)
    assert [status for status, _ in results(thread)] == ["success", "success"]
    assert contexts_sent(shop) == [
        ({"end_time": 6}, ["ds_é"]),
        ({"start_time": 5, "end_time": 6}, []),  # each end that is set goes before its template's
    ]


async def test_an_mcp_server_is_told_beside_the_arguments(client: httpx.AsyncClient) -> None:
    async with McpServer(tool("look")) as server:
        await post(client, "apply", manifest("McpServer", "eye", {"url": server.url}))
        await asked(client, "call eye__look", ["eye"], **ABOUT)
        [call] = server.calls
        assert call.meta["statewright/analysis-scope"] == SCOPE
        assert call.meta["statewright/client-context"]["dataset_ids"] == ["ds_é"]
        assert call.arguments == {}


async def test_events_outside_of_the_scope_are_refused(client: httpx.AsyncClient) -> None:
    dataset = await apply_entity(client, "Dataset", "drive")
    goal = {"goal_type": "create_events", "dataset_id": dataset, "event_vocabulary": {"stop": "S"}}
    event = {"name": "stop", "start_time": 10, "end_time": 20, "target_id": dataset}
    early, late = event | {"start_time": 9}, event | {"end_time": 21}
    script = "\nthen\n".join(
        f"call achieve_create_events {json.dumps({'events': events})}"
        for events in ([early, event, late], [event])
    )
    scope = {"start_time": 10, "end_time": 20}
    thread = await asked(client, script + "\nthen", [], goals=[goal], analysis_scope=scope)
    [(refused, why), (status, _)] = results(thread)
    assert (refused, status) == ("error", "success")
    assert why["error"].endswith("not within the analysis scope, from 10 to 20: events 0, 2")
    found = data(await client.get(f"/v1/ai/datasets/{dataset}/events"))["items"]
    assert [(one["start_time"], one["end_time"]) for one in found] == [(10, 20)]

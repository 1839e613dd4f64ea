"""Tools of type http: the model calls them, a worker makes the request, the turn goes on."""

import asyncio
import base64
import json
import socket
from typing import Any

import httpx
import pytest

from app.db.engine import Database
from app.manifests.registry import all_brokers
from app.settings import Settings
from tests.support.http import NewKey
from tests.support.http_server import HttpServer, Says
from tests.support.manifests import manifest, many, post, send
from tests.support.raw_server import raw_server, sends
from tests.support.shop import SHOP_KEY, asked, connection_to, reachable
from tests.support.threads import (
    THREADS,
    data,
    read,
    rested,
    results,
    said,
    settled,
    start,
    texts,
)

pytestmark = pytest.mark.usefixtures("worker")

_DONE_CALLS = "SELECT count(*) FROM step WHERE status = 'done' AND path <> ''"
ORDER = {
    "type": "object",
    "properties": {"order_id": {"type": "string"}},
    "required": ["order_id"],
}

NOTE = {
    "properties": {"order_id": {"type": "string"}, "note": {"type": "string"}},
    "required": ["order_id", "note"],
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """This machine may be reached."""
    return reachable(settings)


async def declare(client: httpx.AsyncClient, name: str = "get-order", **spec: Any) -> str:
    """Apply a Tool; by default it reads an order."""
    applied = await post(client, "apply", tool(name, **spec))
    assert applied["data"]["operation"] in ("created", "updated")
    return name


def tool(name: str = "get-order", **spec: Any) -> Any:
    http = {"connection": "shop", "method": "GET", "path": "/orders/{order_id}"}
    given = {"description": "An order.", "inputSchema": ORDER, "effect": "read", **spec}
    return manifest("Tool", name, given | {"http": http | given.get("http", {})})


def write(name: str = "make-order", **spec: Any) -> Any:
    """A Tool that writes, and whose API knows no keys."""
    http = {"method": "POST", "path": "/orders"} | spec.pop("http", {})
    return tool(name, **{"inputSchema": {}, "effect": "write", "http": http, **spec})


async def test_a_call_is_made_by_a_worker_and_the_model_goes_on(
    client: httpx.AsyncClient, shop: HttpServer
) -> None:
    shop.script(Says(json.dumps({"state": "sent"})))
    await declare(client)
    thread = await asked(
        client, 'Let me see.\ncall get-order {"order_id": "A 1/7"}\nthen', "get-order"
    )
    assert [m["role"] for m in thread["messages"]] == ["user", "assistant", "roboto", "assistant"]
    assert texts(thread)[3] == "[script model] get-order: {'state': 'sent'}"
    use, result = thread["messages"][1]["content"][1], thread["messages"][2]["content"][0]
    assert not use["answered_by_server"]
    assert result["runtime_ms"] >= 0
    [request] = shop.requests
    assert (request.method, request.url) == ("GET", "/v2/orders/A%201%2F7")
    assert request.headers["authorization"] == f"Bearer {SHOP_KEY}"
    assert request.headers["idempotency-key"].startswith("stp_")


async def test_arguments_go_where_the_tool_says(
    client: httpx.AsyncClient, shop: HttpServer
) -> None:
    names = ("order_id", "page", "X-Trace", "authorization", "note", "filter", "tags")
    schema = {"properties": {name: {} for name in names}, "required": ["order_id"]}
    places = {"page": "query", "X-Trace": "header", "authorization": "header"}
    http = {"method": "PUT", "path": "/orders/{order_id}/notes?v=3", "arguments": places}
    await declare(client, "note", inputSchema=schema, http=http)
    await declare(client, "find", inputSchema=schema, http={"path": "/{order_id}"})
    put = {"order_id": 7, "page": 2, "X-Trace": "t1", "authorization": "mine", "note": ["a", None]}
    get = {"order_id": "é?#", "filter": {"a": [1]}, "tags": ["x", "y"]}
    calls = f"call note {json.dumps(put)}\nthen\ncall find {json.dumps(get)}"
    await asked(client, calls, "note", "find")

    note, find = shop.requests
    assert (note.method, note.url) == ("PUT", "/v2/orders/7/notes?v=3&page=2")
    assert json.loads(note.body) == {"note": ["a", None]}
    assert note.headers["x-trace"] == "t1"
    assert note.headers["authorization"] == f"Bearer {SHOP_KEY}"
    assert find.url == "/v2/%C3%A9%3F%23?filter=%7B%22a%22%3A+%5B1%5D%7D&tags=x&tags=y"
    assert find.body == ""


async def test_no_argument_changes_what_the_path_of_a_tool_fixes(
    client: httpx.AsyncClient, shop: HttpServer
) -> None:
    await declare(
        client, "note", http={"path": "/orders/{order_id}/notes/{note}"}, inputSchema=NOTE
    )
    await declare(client, "find", http={"path": "/find?shop=mine"}, inputSchema={})
    two = {"order_id}/notes/{note": "1", "order_id": "2", "note": "3"}
    calls = [("note", two), ("find", {"shop": "other"}), ("find", {"page": 2})]
    thread = await asked(
        client, "\n".join(f"call {n} {json.dumps(a)}" for n, a in calls), "note", "find"
    )

    assert {request.url for request in shop.requests} == {
        "/v2/orders/2/notes/3?order_id%7D%2Fnotes%2F%7Bnote=1",
        "/v2/find?shop=mine&page=2",
    }
    assert results(thread)[1] == (
        "error",
        {"error": "argument 'shop' cannot be chosen: the tool fixes it"},
    )


async def test_calls_of_one_answer_run_side_by_side(
    client: httpx.AsyncClient, shop: HttpServer
) -> None:
    together = asyncio.Barrier(8)

    async def respond(writer: asyncio.StreamWriter) -> None:
        await together.wait()
        await sends(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")(writer)

    async with raw_server(respond) as (port, requests):
        await at_port(client, port)
        await declare(client)
        calls = "\n".join(f'call get-order {{"order_id": "{i}"}}' for i in range(8))
        thread = await asked(client, calls, "get-order")
    assert results(thread) == [("success", "1")] * 8
    assert len(requests) == 8
    assert len({key_of(request) for request in requests}) == 8


async def at_port(client: httpx.AsyncClient, port: int) -> None:
    """Lead the connection to another server."""
    connection = {"baseUrl": f"http://127.0.0.1:{port}"}
    await post(client, "apply", manifest("ApiConnection", "shop", {"connection": connection}))


def key_of(request: bytes) -> bytes:
    return request.lower().partition(b"idempotency-key: ")[2].split()[0]


async def test_what_the_api_refuses_is_told_to_the_model(
    client: httpx.AsyncClient, shop: HttpServer
) -> None:
    basic = base64.b64encode(f"{SHOP_KEY}:{SHOP_KEY}".encode()).decode()
    shop.script(
        Says(f"no {SHOP_KEY}", 404),
        Says("moved", 302, {"Location": "/other"}),
        Says(f"{'x' * 3_995}{SHOP_KEY}{SHOP_KEY}", 400),
        Says(json.dumps({"you sent": f"Bearer {SHOP_KEY}", "or": f"Basic {basic}"})),
    )
    await declare(client)
    await post(client, "apply", write("make-order"))
    one = 'call get-order {"order_id": "1"}'
    wrong = "\n".join(
        f"call get-order {json.dumps(arguments)}"
        for arguments in ({}, {"order_id": 1}, {"order_id": ".."}, {"order_id": "a/../b"})
    )
    script = "\nthen\n".join([one, one, one, one, wrong])
    thread = await asked(client, script, "get-order", "make-order")

    found = results(thread)
    assert found[0] == ("error", {"error": "the API answered 404: no ***"})
    assert found[1] == ("error", {"error": "the API answered 302: moved"})
    assert found[2][1]["error"].endswith("x***" + "**")
    assert found[3][0] == "success"
    assert found[3][1]["you sent"] == "Bearer ***"
    assert [status for status, _ in found[4:]] == ["error"] * 4
    assert "do not fit" in found[4][1]["error"]
    assert len(shop.requests) == 4  # the arguments that do not fit, or lead elsewhere, went nowhere
    assert SHOP_KEY not in json.dumps(thread)


@pytest.mark.parametrize(
    ("answer", "payload"),
    [
        (Says(b"nul \x00 here"), "nul \ufffd here"),
        (Says('{"a": "\\u0000\\ud800"}'), {"a": "\ufffd\ufffd"}),
        (Says("[" * 100_000), "[" * 100_000),
        (Says(json.dumps([[[1]]]).replace("1", "[" * 200 + "]" * 200)), None),
        (Says("<html>no</html>", headers={"Content-Type": "text/html"}), "<html>no</html>"),
        (
            Says(b"\x89PNG\xff\xfe\x00", headers={"Content-Type": "image/png"}),
            "[the answer is no text; its type: image/png]",
        ),
        (Says("é", headers={"Content-Type": "text/plain; charset=punycode"}), "é"),
        (Says(b"\xe9", headers={"Content-Type": "text/plain; charset=latin-1"}), "é"),
        (Says("", 204), ""),
        (Says("1e999"), "1e999"),
        (Says('{"a": 1e999}'), '{"a": 1e999}'),
    ],
    ids=lambda value: repr(getattr(value, "body", ""))[:30],
)
async def test_whatever_the_api_answers_is_data(
    client: httpx.AsyncClient, shop: HttpServer, answer: Says, payload: Any
) -> None:
    shop.script(answer)
    await declare(client)
    thread = await asked(client, 'call get-order {"order_id": "1"}', "get-order")
    [(status, found)] = results(thread)
    assert status == "success"
    assert found == (payload if payload is not None else answer.body)


@pytest.mark.parametrize("size", [256_001, 12_000_000])
async def test_a_long_result_is_cut_and_says_so(
    client: httpx.AsyncClient, shop: HttpServer, size: int
) -> None:
    shop.script(Says("é" * size))
    await post(client, "apply", write())
    thread = await asked(client, "call make-order", "make-order")
    [(status, payload)] = results(thread)
    assert status == "success"
    assert payload == "é" * 256_000 + "… [cut: the result is longer than that]"


async def test_a_long_result_is_refused_where_its_tool_says_so(
    client: httpx.AsyncClient, shop: HttpServer
) -> None:
    shop.script(Says("é" * 256_001), *[Says("é" * 250_000)] * 5)
    await declare(client, onLargeResult="refuse")
    calls = ['call get-order {"order_id": "1"}', "then", *['call get-order {"order_id": "1"}'] * 5]
    long, *shared = results(await asked(client, "\n".join(calls), "get-order"))
    says = "The call was made. Its result has more characters, and may have 256,000: ask for less."
    assert long == ("error", {"error": says})
    says = "The call was made. Its result has 500,000 bytes, and may have 400,000: ask for less."
    assert shared == [("error", {"error": says})] * 5


async def test_the_results_of_one_answer_share_what_a_model_is_shown(
    client: httpx.AsyncClient, shop: HttpServer
) -> None:
    shop.script(*[Says("é" * 256_000)] * 7, Says(f'["{"é" * 130_000}"]'))
    await declare(client)
    calls = "\n".join(f'call get-order {{"order_id": "{i}"}}' for i in range(8))
    found = results(await asked(client, calls, "get-order"))
    assert [status for status, _ in found] == ["success"] * 8
    sizes = sorted(len(payload.encode()) for _, payload in found)
    assert 249_990 < sizes[0] <= sizes[-1] <= 250_000
    says = "… [cut: each of 8 results may have 250,000 bytes, and this one has "
    assert {payload.rpartition(says)[2] for _, payload in found} == {"512,000]", "260,004]"}


@pytest.mark.parametrize("effect", ["read", "write", "idempotent"])
@pytest.mark.parametrize("fault", ["timeout", "broken", "half", "500", "429"])
async def test_a_call_is_made_again_where_that_repeats_no_write(
    client: httpx.AsyncClient, shop: HttpServer, effect: str, fault: str
) -> None:
    async def respond(writer: asyncio.StreamWriter) -> None:
        if len(requests) > 1:
            await sends(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")(writer)
        elif fault == "timeout":
            await asyncio.sleep(30)
        elif fault == "half":
            await sends(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\ndo")(writer)
        elif fault != "broken":
            status = f"HTTP/1.1 {fault} Sorry\r\nContent-Length: 0\r\n\r\n"
            await sends(status.encode())(writer)

    kind = {"effect": "read"} if effect == "read" else {"idempotent": effect == "idempotent"}
    async with raw_server(respond) as (port, requests):
        await at_port(client, port)
        limits = {"timeout": 0.5} if fault == "timeout" else {}
        await post(client, "apply", write(**kind, **limits))
        thread = await start(
            client, "call make-order", model_profile="script", tools=["make-order"]
        )
        thread = await rested(client, thread["thread_id"])

    if effect == "write" and fault not in ("500", "429"):
        assert len(requests) == 1
        assert [action["kind"] for action in thread["required_actions"]] == ["unknown_outcome"]
        return
    [(status, payload)] = results(thread)
    if effect == "write" and fault == "500":
        assert len(requests) == 1
        assert status == "error"
        assert "the API answered 500" in payload["error"]
    else:
        assert len({key_of(request) for request in requests}) == 1
        assert len(requests) == 2
        assert (status, payload) == ("success", "done")


async def test_a_tool_s_retries_count_and_no_connection_is_no_write(
    client: httpx.AsyncClient, shop: HttpServer
) -> None:
    shop.script(*[Says("sorry", 503)] * 8, *[Says("wait", 503, {"Retry-After": "3600"})])
    await post(client, "apply", many(tool(retries=6), tool("once", retries=0)))
    arguments = '{"order_id": "1"}'
    script = f"call get-order {arguments}\nthen\ncall once {arguments}\nthen\ncall get-order"
    thread = await asked(client, f"{script} {arguments}", "get-order", "once")
    assert [status for status, _ in results(thread)] == ["error"] * 3
    keys = [request.headers["idempotency-key"] for request in shop.requests]
    assert [keys.count(key) for key in dict.fromkeys(keys)] == [7, 1, 1]

    async with raw_server(sends()) as (port, _):
        pass
    await at_port(client, port)
    await post(client, "apply", write(retries=5))
    writing = await start(client, "call make-order", model_profile="script", tools=["make-order"])
    async with HttpServer(port) as back:
        thread = await settled(client, writing["thread_id"])
        assert len(back.requests) == 1
    assert results(thread) == [("success", "fine")]


async def test_a_write_that_was_never_sent_is_not_asked_about(
    client: httpx.AsyncClient, shop: HttpServer
) -> None:
    """Neither where no token comes, nor where nobody takes the connection."""
    shop.script(Says(delay=1))
    oauth = {"authMethod": "oauth", "tokenUrl": f"{shop.url}/token", "username": "shop-key"}
    signed = {"baseUrl": shop.url, "password": "shop-key", **oauth}
    connection = manifest("ApiConnection", "shop", {"connection": signed})
    await post(client, "apply", many(connection, write(timeout=0.2, retries=0)))
    asks = {"model_profile": "script", "tools": ["make-order"]}
    thread = await rested(client, (await start(client, "call make-order", **asks))["thread_id"])
    assert results(thread) == [("error", {"error": "the token server did not answer in time"})]

    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for waiting in (first, second):  # more than it takes
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        await at_port(client, deaf.getsockname()[1])
        thread = await rested(client, (await start(client, "call make-order", **asks))["thread_id"])
    [(status, payload)] = results(thread)
    assert status == "error"
    assert payload["error"].startswith("the API could not be reached: ")


async def test_a_connection_that_is_not_usable_is_told_to_the_model(
    client: httpx.AsyncClient, shop: HttpServer, settings: Settings
) -> None:
    await declare(client)
    connection = {"baseUrl": "http://10.1.2.3:9"}
    await post(client, "apply", manifest("ApiConnection", "shop", {"connection": connection}))
    thread = await asked(client, 'call get-order {"order_id": "1"}', "get-order")
    [(status, payload)] = results(thread)
    assert status == "error"
    assert "not an address that this service may reach" in payload["error"]


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"tools": ["get-order", "none", "nothing"]}, [["tools", 1], ["tools", 2]]),
        ({"tools": ["get-order", "get-order"]}, [["tools"]]),
        ({"tools": ["get-order"] * 65}, [["tools"]]),
        ({"tools": [f"t{i}" for i in range(65)]}, [["tools"]]),
        ({"tools": ["get-order"], "flow": "example-flow"}, [["tools"]]),
        ({"tools": "get-order"}, [["tools"]]),
        ({"tools": [""]}, [["tools", 0]]),
    ],
)
async def test_tools_that_cannot_be_offered_are_refused_before_a_thread_starts(
    client: httpx.AsyncClient, shop: HttpServer, fields: dict[str, Any], place: list[Any]
) -> None:
    await declare(client)
    await post(client, "apply", all_brokers().find("flow").example)
    response = await client.post(THREADS, json={"messages": [said("Hi")], **fields})
    assert response.status_code == 400, response.text
    assert [error["loc"] for error in response.json()["errors"]] == [["body", *p] for p in place]
    assert data(await client.get(THREADS))["items"] == []


async def test_a_message_names_further_tools_and_they_stay_as_they_were(
    client: httpx.AsyncClient, shop: HttpServer
) -> None:
    await declare(client)
    await post(client, "apply", write("client_order"))
    thread = await start(client, "Hello", model_profile="script")
    thread_id = (await settled(client, thread["thread_id"]))["thread_id"]

    async def says(text: str, **fields: Any) -> httpx.Response:
        body = {"message": said(text), **fields}
        return await client.post(f"{THREADS}/{thread_id}/messages", json=body)

    call = 'call get-order {"order_id": "1"}'
    refused = await says(call, tools=["none"])
    assert (refused.status_code, refused.json()["errors"][0]["loc"]) == (400, ["body", "tools", 0])
    spec = {"name": "client_order", "description": "", "input_schema": {}}
    refused = await says(call, tools=["client_order"], client_tools=[spec])
    assert refused.status_code == 400
    assert "client_order" in refused.text
    assert len((await read(client, thread_id))["messages"]) == 2

    data(await says(call, tools=["get-order"]))
    await settled(client, thread_id)
    await declare(client, http={"path": "/changed/{order_id}"})
    data(await says(call))
    await settled(client, thread_id)
    await post(client, "delete/tool", name="get-order")
    data(await says(call))
    await settled(client, thread_id)
    assert [request.url for request in shop.requests] == ["/v2/orders/1"] * 3


async def test_an_agent_names_tools_also_by_a_placeholder(
    client: httpx.AsyncClient, shop: HttpServer
) -> None:
    await declare(client)
    template = {
        "messages": [said('call {{tool}} {"order_id": "1"}')],
        "tools": ["{{tool}}"],
        "model_profile": "script",
    }
    body = {"name": "a", "request_template": template, "variables": [{"name": "tool"}]}
    agent = data(await client.post("/v1/ai/agents", json=body), 201)
    assert agent["request_template"] == template
    launch = f"/v1/ai/agents/{agent['agent_id']}/launch"
    refused = await client.post(launch, json={"values": {"tool": "other"}})
    assert (refused.status_code, refused.json()["errors"][0]["loc"]) == (400, ["body", "tools", 0])
    thread = data(await client.post(launch, json={"values": {"tool": "get-order"}}), 201)
    assert results(await settled(client, thread["thread_id"])) == [("success", "fine")]

    spec = {"requestTemplate": {"messages": [said("Hi")], "tools": ["get-order"]}}
    await post(client, "apply", manifest("Agent", "b", spec))
    assert (await send(client, "delete/tool", name="get-order")).status_code == 409
    assert (await send(client, "delete/apiconnection", name="shop")).status_code == 409
    spec["requestTemplate"]["tools"].append("none")
    refused = await send(client, "apply", manifest("Agent", "b", spec))
    assert refused.json()["errors"][0]["loc"] == ["spec", "requestTemplate", "tools", 1]


async def test_another_org_s_tools_are_not_there(
    client: httpx.AsyncClient, shop: HttpServer, new_key: NewKey
) -> None:
    await declare(client)
    eve = await new_key(org="Other", user="eve@other.example")
    client.headers["Authorization"] = f"Bearer {eve.api_key}"
    body = {"messages": [said("Hi")], "tools": ["get-order"]}
    assert (await client.post(THREADS, json=body)).status_code == 400
    refused = await send(client, "apply", tool())
    assert refused.json()["errors"][0]["loc"] == ["spec", "http", "connection"]


async def test_what_was_done_before_a_cancel_stays_done(
    client: httpx.AsyncClient, shop: HttpServer, database: Database
) -> None:
    shop.script(Says("made"), Says("never", delay=30))
    first = write("first")
    second = write("second", http={"path": "/second"})
    await post(client, "apply", many(first, second))
    names = ["first", "second"]
    thread = await start(client, "call first\ncall second", model_profile="script", tools=names)
    async with asyncio.timeout(10):
        while not await database.pool.fetchval(_DONE_CALLS) or len(shop.requests) < 2:  # noqa: ASYNC110 - the database has no event for it
            await asyncio.sleep(0.02)
    await client.post(f"{THREADS}/{thread['thread_id']}/cancel")
    thread = await read(client, thread["thread_id"])
    made, lost = sorted(results(thread), reverse=True)
    assert made == ("success", "made")
    assert "is not known" in lost[1]["error"]
    roles = [m["role"] for m in thread["messages"]]
    assert roles == ["user", "assistant", "roboto", "assistant"]


async def test_cancel_ends_a_call_within_a_second_and_each_call_has_its_result(
    client: httpx.AsyncClient, shop: HttpServer
) -> None:
    left, both = asyncio.Event(), asyncio.Barrier(3)

    async def respond(writer: asyncio.StreamWriter) -> None:
        await both.wait()
        try:
            while True:  # until the client is gone
                await sends(b"HTTP/1.1 100 Continue\r\n\r\n")(writer)
                await asyncio.sleep(0.02)
        except ConnectionError:
            left.set()
            raise

    async with raw_server(respond) as (port, requests):
        await at_port(client, port)
        await post(client, "apply", many(tool(), write()))
        calls = 'call make-order\ncall get-order {"order_id": "1"}\ncall none'
        names = ["make-order", "get-order"]
        thread = await start(client, calls, model_profile="script", tools=names)
        await both.wait()
        url = f"{THREADS}/{thread['thread_id']}"
        assert data(await client.post(f"{url}/cancel"))["status"] == "user_turn"
        async with asyncio.timeout(1):
            await left.wait()
    await post(client, "apply", connection_to(shop))
    await client.post(f"{url}/messages", json={"message": said("call make-order\nthen\nFine.")})
    thread = await settled(client, thread["thread_id"])

    roles = ["user", "assistant", "roboto", "assistant", "user", "assistant", "roboto", "assistant"]
    assert [m["role"] for m in thread["messages"]] == roles
    assert [m["status"] for m in thread["messages"][:4]] == ["completed"] * 3 + ["cancelled"]
    assert [status for status, _ in results(thread)] == ["error", "error", "error", "success"]
    assert texts(thread)[-1] == "Fine."
    assert len(requests) == 2
    assert len(shop.requests) == 1

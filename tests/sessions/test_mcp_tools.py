"""Tools of type mcp: an McpServer's tools are listed by its apply, and called by a worker."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ImageContent,
    ResourceLink,
    TextContent,
    ToolAnnotations,
)

from app.settings import Settings
from tests.support.http import NewKey
from tests.support.manifests import manifest, many, post, send
from tests.support.mcp_server import McpServer, text, tool
from tests.support.raw_server import raw_server, sends
from tests.support.shop import asked, reachable
from tests.support.threads import THREADS, data, rested, results, said, settled, start

pytestmark = pytest.mark.usefixtures("worker")

KEY = "sk-mcp-secret-0123456789"
ORDER = {
    "type": "object",
    "properties": {"order_id": {"type": "string"}},
    "required": ["order_id"],
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """This machine may be reached."""
    return reachable(settings)


def declared(url: str, name: str = "shop", **spec: Any) -> str:
    """An McpServer and the Secret with its key, in one text."""
    secret = manifest("Secret", "shop-key", {"config": {"value": KEY}})
    return many(secret, manifest("McpServer", name, {"url": url, "auth": "shop-key", **spec}))


async def declare(client: httpx.AsyncClient, url: str, **spec: Any) -> dict[str, Any]:
    """What the apply of an McpServer says of it."""
    answer = await post(client, "apply", declared(url, **spec))
    found: dict[str, Any] = answer["data"]["items"][1]
    return found


async def test_an_apply_lists_the_tools_and_a_thread_calls_two_side_by_side(
    client: httpx.AsyncClient,
) -> None:
    together = asyncio.Barrier(2)

    async def handle(params: CallToolRequestParams) -> CallToolResult:
        await together.wait()
        return text(f"{params.name} of {params.arguments}")

    orders = (tool("get order", ORDER, description="An order."), tool("list"), tool("pay"))
    async with McpServer(*orders, handle=handle, pages=2) as server:
        applied = await declare(
            client,
            server.url,
            headers={"X-Team": "blue"},
            tools={"get order": {"effect": "read"}, "pay": {"approval": "always"}},
        )
        assert applied["warnings"] == []
        described = (await post(client, "describe/mcpserver", name="shop"))["data"]
        assert described["status"]["tools"] == applied["manifest"]["status"]["tools"]
        assert [
            (one["name"], one["tool"], one["effect"], one["approval"])
            for one in described["status"]["tools"]
        ] == [
            ("shop__get_order", "get order", "read", "never"),
            ("shop__list", "list", "write", "never"),
            ("shop__pay", "pay", "write", "always"),
        ]
        assert described["status"]["tools"][0]["inputSchema"] == ORDER
        assert KEY not in json.dumps(described)

        calls = 'call shop__get_order {"order_id": "1"}\ncall shop__list\ncall shop__get_order'
        thread = await asked(client, calls, "shop")
        found = results(thread)
        assert found[:2] == [
            ("success", "get order of {'order_id': '1'}"),
            ("success", "list of {}"),
        ]
        assert "do not fit" in found[2][1]["error"]
        keys = [call.meta["statewright/idempotency-key"] for call in server.calls]
        assert len(set(keys)) == 2
        assert all(key.startswith("stp_") for key in keys)
        assert {one["authorization"] for one in server.headers} == {f"Bearer {KEY}"}
        assert {one["x-team"] for one in server.headers} == {"blue"}


async def test_what_a_tool_gives_back_is_bounded_data_without_secrets(
    client: httpx.AsyncClient,
) -> None:
    answers = {
        "json": text('{"a": [1]}'),
        "structured": text('{"a": 1}', structured_content={"a": 1}),
        "both": text("Two orders.", structured_content={"orders": [1, 2]}),
        "mixed": CallToolResult(
            content=[
                TextContent(text="Here: "),
                ImageContent(data="aGk=", mime_type="image/png"),
                ResourceLink(uri="file:///etc/passwd", name="p"),
            ]
        ),
        "long": text("x" * 300_000),
        "refused": text("é" * 300_000),
        "hostile": text(f"nul \x00 {{{{ 7 * 7 }}}} Bearer {KEY}"),
        "failed": text(f"no such order; {KEY}", is_error=True),
        "empty": CallToolResult(content=[]),
    }

    async def handle(params: CallToolRequestParams) -> CallToolResult:
        return answers[params.name]

    async with McpServer(*map(tool, answers), handle=handle) as server:
        await declare(client, server.url, tools={"refused": {"onLargeResult": "refuse"}})
        calls = "\n".join(f"call shop__{name}" for name in answers)
        found = dict(zip(answers, results(await asked(client, calls, "shop")), strict=True))
    assert found["json"] == ("success", {"a": [1]})
    assert found["structured"] == ("success", {"a": 1})
    both = {"text": "Two orders.", "structured_content": {"orders": [1, 2]}}
    assert found["both"] == ("success", both)
    assert found["mixed"][1] == (
        "Here: \n[an image, not shown: image/png]\n"
        "[a link to a resource, not shown: file:///etc/passwd]"
    )
    # Nine results of one answer share what it may have, so each has less than one alone.
    kept, _, note = found["long"][1].partition("… [cut: ")
    assert (set(kept), len(found["long"][1].encode())) == ({"x"}, 222_222)
    assert note.startswith("each of 9 results may have 222,222 bytes")
    assert found["refused"][0] == "error"
    assert "ask for less" in found["refused"][1]["error"]
    assert found["hostile"] == ("success", "nul \ufffd {{ 7 * 7 }} Bearer ***")
    assert found["failed"] == ("error", {"error": "the tool failed: no such order; ***"})
    assert found["empty"] == ("success", "")


@pytest.mark.parametrize("fault", ["dies", "slow", "503", "429"])
async def test_a_call_is_made_again_where_that_repeats_no_write(
    client: httpx.AsyncClient, fault: str
) -> None:
    async def handle(params: CallToolRequestParams) -> CallToolResult:
        first = [call.name for call in server.calls].count(params.name) == 1
        if first and fault == "dies":
            server.hang_up()
        if first and not fault.isdigit():
            await asyncio.sleep(5)
        return text("done")

    rules = {"read": {"effect": "read"}, "idempotent": {"idempotent": True}, "write": {}}
    async with McpServer(*map(tool, rules), handle=handle) as server:
        if fault.isdigit():
            server.refuse_first_calls = int(fault)
        await declare(client, server.url, tools=rules, timeout=1.5 if fault == "slow" else 30)
        calls = "\nthen\n".join(f"call shop__{name}" for name in rules)
        thread = await start(client, calls, model_profile="script", tools=["shop"])
        thread = await rested(client, thread["thread_id"])
    assert dict(server.sent) == {"read": 2, "idempotent": 2, "write": 2 if fault == "429" else 1}
    keys = {call.meta["statewright/idempotency-key"] for call in server.calls}
    assert len(keys) == (2 if fault == "503" else 3)
    if not fault.isdigit():
        assert [action["kind"] for action in thread["required_actions"]] == ["unknown_outcome"]
        return
    *others, (status, payload) = results(thread)
    assert others == [("success", "done")] * 2
    refused = ("error", {"error": "the MCP server answered 503"})
    assert (status, payload) == (refused if fault == "503" else ("success", "done"))


async def test_a_refusal_is_final_and_says_no_more_than_its_status(
    client: httpx.AsyncClient,
) -> None:
    async with McpServer(tool("pay"), tool("gone")) as server:
        await declare(client, server.url, defaults={"effect": "read"})
        for status in (401, 403, 404, 302):
            server.refuse = status
            before = len(server.headers)
            thread = await asked(client, "call shop__pay", "shop")
            assert len(server.headers) - before <= 2  # two ways to say hello
            assert results(thread) == [("error", {"error": f"the MCP server answered {status}"})]
            again = await declare(client, server.url)
            [warning] = again["warnings"]
            msg = f"its tools are not known: the MCP server answered {status}; apply it again"
            assert warning == {"loc": ["spec", "url"], "msg": msg}
            assert len(again["manifest"]["status"]["tools"]) == 2  # as they were
            assert "library words" not in json.dumps([thread, again])
        assert server.calls == []


async def test_a_server_that_is_not_there_is_a_warning_and_a_transient_failure(
    client: httpx.AsyncClient,
) -> None:
    async with McpServer(tool("pay")) as server:
        await declare(client, server.url, retries=1)
    thread = await asked(client, "call shop__pay", "shop")
    error = {"error": "the MCP server could not be reached"}
    assert results(thread) == [("error", error)]
    elsewhere = await declare(client, "http://10.1.2.3/mcp")
    assert elsewhere["manifest"]["status"]["tools"] == []  # those were another server's
    assert "not an address that this service may reach" in elsewhere["warnings"][0]["msg"]
    body = {"messages": [said("Hi")], "tools": ["shop"]}
    refused = await client.post(THREADS, json=body)
    assert refused.status_code == 400
    assert "apply it again" in refused.json()["errors"][0]["msg"]


async def test_whatever_is_no_mcp_server_is_a_warning(client: httpx.AsyncClient) -> None:
    ok = b"HTTP/1.1 200 OK\r\n"
    for answer in (
        ok + b"Content-Length: 2\r\nContent-Type: application/json\r\n\r\n{}",
        ok + b"Content-Length: 5\r\nContent-Type: text/html\r\n\r\n<html",
        ok + b"Content-Type: application/json\r\n\r\n" + b"[" * 5_000_000,
        ok + b"Content-Type: text/event-stream\r\n\r\ndata: {\r\n\r\n",
        ok + b"Content-Encoding: gzip\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"",
    ):
        async with raw_server(sends(answer)) as (port, _):
            applied = await declare(client, f"http://127.0.0.1:{port}/mcp")
        [warning] = applied["warnings"]
        assert warning["loc"] == ["spec", "url"]
        assert warning["msg"].startswith("its tools are not known: ")
        assert "Error" not in warning["msg"]


async def test_a_server_that_never_answers_is_waited_for_as_long_as_its_timeout(
    client: httpx.AsyncClient,
) -> None:
    async def respond(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async with raw_server(respond) as (port, _), asyncio.timeout(5):
        applied = await declare(client, f"http://127.0.0.1:{port}/mcp", timeout=0.5)
    assert "did not answer in time" in applied["warnings"][0]["msg"]


async def test_tools_that_cannot_be_offered_are_left_out_and_named(
    client: httpx.AsyncClient,
) -> None:
    tools = [
        tool("fine", description="d" * 30_000),
        tool("no good", {"type": "object", "properties": {"a": {"type": "nothing"}}}),
        tool("elsewhere", {"type": "object", "$ref": "https://example.com/s.json"}),
        tool("large", {"type": "object", "description": "x" * 70_000}),
        tool("a/b"),
        tool("a.b"),
        tool("n" * 61),
        tool("nul\x00"),
        tool(""),
        tool("\u202eevil\n" * 10),
    ]
    async with McpServer(*tools) as server:
        applied = await declare(client, server.url)
        offered = applied["manifest"]["status"]["tools"]
        thread = await asked(client, "call shop__a_b", "shop")
    assert [one["name"] for one in offered][:2] == ["shop__fine", "shop__a_b"]
    assert len(offered[0]["description"]) == 20_000
    assert results(thread) == [("success", "a/b: {}")]
    messages = [warning["msg"] for warning in applied["warnings"]]
    for name, why in [
        ("no good", "no JSON Schema"),
        ("elsewhere", "only refer to itself"),
        ("large", "not usable"),
        ("a.b", "is another tool's"),
        ("nnn", "longer than 64"),
        ("nul", "name is not usable"),
        ("''", "name is not usable"),
        ("\\u202eevil", "longer than 64"),
    ]:
        assert any(name in message and why in message for message in messages), messages
    assert all(message.isascii() and message.isprintable() for message in messages)
    assert len(messages) == 8


@pytest.mark.slow
async def test_of_ten_thousand_tools_those_are_taken_that_are_allowed(
    client: httpx.AsyncClient,
) -> None:
    async with McpServer(*(tool(f"t{i}") for i in range(10_000)), pages=20) as server:
        applied = await declare(client, server.url)
        assert "more than 128 tools" in applied["warnings"][0]["msg"]
        assert applied["manifest"]["status"]["tools"] == []
        applied = await declare(client, server.url, allowedTools=["t7", "t9999", "none"])
        assert applied["warnings"] == [
            {"loc": ["spec", "allowedTools", 2], "msg": "the server has no such tool"}
        ]
        thread = await asked(client, "call shop__t9999\ncall shop__t7", "shop__t9999")
        assert results(thread)[0] == ("success", "t9999: {}")
        assert results(thread)[1][0] == "error"  # it was not named

        body = {"messages": [said("Hi")], "tools": ["shop__t7", "shop__t8", "none__t7"]}
        refused = await client.post(THREADS, json=body)
        places = [error["loc"] for error in refused.json()["errors"]]
        assert places == [["body", "tools", 1], ["body", "tools", 2]]


async def test_a_tool_that_is_not_allowed_any_more_is_not_called(
    client: httpx.AsyncClient,
) -> None:
    async with McpServer(tool("pay"), tool("list")) as server:
        await declare(client, server.url)
        thread = await asked(client, "call shop__pay", "shop")
        await declare(client, server.url, allowedTools=["list"])
        url = f"{THREADS}/{thread['thread_id']}"
        data(await client.post(f"{url}/messages", json={"message": said("call shop__pay")}))
        thread = await settled(client, thread["thread_id"])
        error = {"error": "The tool is not allowed any more."}
        assert results(thread) == [("success", "pay: {}"), ("error", error)]
        assert len(server.calls) == 1


async def test_annotations_count_only_where_the_manifest_trusts_them(
    client: httpx.AsyncClient,
) -> None:
    hint = ToolAnnotations(read_only_hint=True)
    tools = (tool("list", annotations=hint), tool("pay", annotations=hint), tool("other"))
    async with McpServer(*tools) as server:
        for trust, effects in (
            (False, ["write", "write", "write"]),
            (True, ["read", "write", "write"]),
        ):
            rules = {"pay": {"effect": "write"}}
            applied = await declare(client, server.url, trustAnnotations=trust, tools=rules)
            offered = applied["manifest"]["status"]["tools"]
            assert [one["effect"] for one in offered] == effects


async def test_agents_name_servers_that_are_there_and_stay(
    client: httpx.AsyncClient, new_key: NewKey
) -> None:
    async with McpServer(tool("pay")) as server:
        template = {"messages": [said("Hi")], "tools": ["shop__pay", "none__pay"]}
        agent = manifest("Agent", "a", {"requestTemplate": template})
        documents = declared(server.url) + "---\n" + json.dumps(agent)
        refused = await send(client, "apply", documents)
        assert refused.status_code == 400
        place = ["documents", 2, "spec", "requestTemplate", "tools", 1]
        assert [error["loc"] for error in refused.json()["errors"]] == [place]
        assert server.headers == []  # nothing was looked up for what was not applied
        template["tools"].pop()
        documents = declared(server.url) + "---\n" + json.dumps(agent)
        assert (await send(client, "apply", documents, dry_run="true")).status_code == 200
        assert server.headers == []
        await post(client, "apply", documents)
        for kind, name in (("mcpserver", "shop"), ("secret", "shop-key")):
            assert (await send(client, f"delete/{kind}", name=name)).status_code == 409

        eve = await new_key(org="Other", user="eve@other.example")
        client.headers["Authorization"] = f"Bearer {eve.api_key}"
        body = {"messages": [said("Hi")], "tools": ["shop"]}
        assert (await client.post(THREADS, json=body)).status_code == 400
        assert (await send(client, "describe/mcpserver", name="shop")).status_code == 404


async def test_a_manifest_that_cannot_work_is_refused(client: httpx.AsyncClient) -> None:
    for name, spec, place in (
        ("shop", {"url": "stdio://x"}, ["spec", "url"]),
        ("shop", {"url": "https://a:b@x.example/mcp"}, ["spec", "url"]),
        ("shop", {"headers": {"X-Api-Key": "plain"}}, ["spec", "headers"]),
        ("shop", {"auth": "none"}, ["spec", "auth"]),
        ("shop", {"allowedTools": [f"t{i}" for i in range(129)]}, ["spec", "allowedTools"]),
        ("shop", {"tools": {"pay": {"effect": "none"}}}, ["spec", "tools", "pay", "effect"]),
        ("a__b", {}, ["metadata", "name"]),
        ("a" * 41, {}, ["metadata", "name"]),
    ):
        body = manifest("McpServer", name, {"url": "https://x.example/mcp", **spec})
        refused = await send(client, "apply", body)
        assert refused.status_code == 400, refused.text
        assert [error["loc"] for error in refused.json()["errors"]] == [place]

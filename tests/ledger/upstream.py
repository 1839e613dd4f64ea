"""The model, the API of the tools and the MCP server of the ledger run, each with its ledger."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import yaml
from mcp_types import CallToolRequestParams, CallToolResult
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from typing_extensions import override

from tests.chaos.upstream import GOOD, Call, Upstream, api_response, tokens_of
from tests.ledger.plan import TOOLS, read_plan
from tests.support.manifests import manifest
from tests.support.mcp_server import McpServer, text, tool

PROFILE = "ledger-model"
MCP_NAME = "desk"
_KEY = "statewright/idempotency-key"
_SCHEMA = {
    "type": "object",
    "properties": {"token": {"type": "string"}},
    "required": ["token"],
}
CLIENT_TOOL = {"name": "client_ask", "description": "Asks the user.", "input_schema": _SCHEMA}
CLERK = {"type": "agent", "agent": "clerk"}
_CLERK_SPEC = {
    "variables": [{"name": "token"}, {"name": "plan"}],
    "requestTemplate": {
        "modelProfile": PROFILE,
        "systemPrompt": "You work on {{token}}.",
        "messages": [{"role": "user", "content": [{"text": "{{plan}}"}]}],
        "tools": ["look", "note", "keyed", "pay", MCP_NAME],
    },
}
_TIMEOUT = 6.0  # of a call: good answers take up to 4, and the upstream hangs for longer
# After these the call was not made: the other side says so.
REFUSED = frozenset({"503", "429", "429 until"})


class LedgerUpstream(Upstream):
    """The model follows the plan in the user's last message; the API writes down each call.

    Attributes:
        orphans: requests to the model in which a call had no result behind it, or the reverse.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed, Route("/tools/{name}", self._tool, methods=["POST"]))
        self.orphans: list[str] = []

    @override
    async def _model(self, request: Request) -> Response:
        body = json.loads(await request.body())
        messages = body["messages"]
        self.orphans += [f"a request to the model: {fault}" for fault in orphans_of(messages)]
        plan, stage = _at(messages)
        call = self.record(request, [plan["turn"]])
        call.what = "model"
        call.usage = (1000 + len(self.ledger), self.random.randrange(1, 500), len(self.ledger) % 7)
        stages = plan["stages"]
        if stage >= len(stages):
            call.text = f"{self.nonce()} done {plan['turn']}"
            return await self.answer(request, call, body)
        call.text = f"{self.nonce()} calls"
        return await self.answer(request, call, body, _tool_calls(stages[stage]))

    async def _tool(self, request: Request) -> Response:
        call = self.record(request, tokens_of((await request.body()).decode()))
        call.what = request.path_params["name"]
        if call.outcome == "garbage":
            call.outcome = GOOD
        call.text = f"{self.nonce()} {call.what} {' '.join(call.said)}"

        def response() -> Response:
            good = call.outcome == GOOD
            return PlainTextResponse(call.text) if good else api_response(call)

        return await self.respond(request, call, response)


@dataclass
class World:
    """All that the threads of the run reach."""

    upstream: LedgerUpstream
    desk: McpServer
    desk_calls: list[Call]

    @property
    def tool_calls(self) -> list[Call]:
        """Each request that came for a tool, of either kind."""
        http = [call for call in self.upstream.ledger if call.what in TOOLS]
        return [*http, *self.desk_calls]

    @property
    def model_calls(self) -> list[Call]:
        """Each request that came for the model."""
        return [call for call in self.upstream.ledger if call.what == "model"]

    def manifests(self) -> list[str]:
        """What an org needs to have threads of the run."""
        url = self.upstream.url
        http = [
            manifest(
                "Tool",
                name,
                {
                    "description": f"The tool {name}.",
                    "inputSchema": _SCHEMA,
                    "effect": "write" if kind.is_write else "read",
                    "idempotent": kind.is_keyed,
                    "approval": "always" if kind.is_approved else "never",
                    "timeout": _TIMEOUT,
                    "retries": 3,
                    "http": {"connection": "ledger", "method": "POST", "path": f"/{name}"},
                },
            )
            for name, kind in TOOLS.items()
            if kind.where == "http"
        ]
        desk = {"url": self.desk.url, "timeout": _TIMEOUT, "tools": {"peek": {"effect": "read"}}}
        model = {"type": "openai", "model": "test-model"}
        documents = [
            manifest("ApiConnection", "ledger", {"connection": {"baseUrl": f"{url}/tools"}}),
            manifest("Provider", PROFILE, {**model, "baseUrl": f"{url}/v1"}),
            *http,
            manifest("McpServer", MCP_NAME, desk),
            manifest("Agent", CLERK["agent"], _CLERK_SPEC),
        ]
        return [yaml.safe_dump(document) for document in documents]


@asynccontextmanager
async def running_world(seed: int) -> AsyncIterator[World]:
    """Everything that threads reach, while the block lasts."""
    calls: list[Call] = []
    rng = random.Random(f"desk {seed}")

    async def handle(params: CallToolRequestParams) -> CallToolResult:
        token = str((params.arguments or {})["token"])
        name = f"{MCP_NAME}__{params.name}"
        call = Call(str((params.meta or {}).get(_KEY, "")), [token], time.time(), GOOD, what=name)
        calls.append(call)
        await asyncio.sleep(rng.uniform(1.0, 3.0) if rng.random() < 0.15 else rng.uniform(0, 0.3))
        return text(f"{name} {token}")

    tools = [tool(name, _SCHEMA, description="A tool.") for name in ("peek", "stamp")]
    async with LedgerUpstream(seed) as upstream, McpServer(*tools, handle=handle) as desk:
        yield World(upstream, desk, calls)


def orphans_of(messages: Sequence[dict[str, Any]]) -> list[str]:
    """What is wrong with the calls and results of a history, as a strict server would say."""
    faults: list[str] = []
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                faults.append(f"a result without its call: {message['tool_call_id']}")
            else:
                waiting.remove(message["tool_call_id"])
            continue
        faults += [f"a call without its result: {id_}" for id_ in waiting]
        waiting = [call["id"] for call in message.get("tool_calls") or []]
    return faults + [f"a call without its result: {id_}" for id_ in waiting]


def _at(messages: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], int]:
    """The plan that the user said last, and how many of its answers with calls there were."""
    done = 0
    for message in reversed(messages):
        if message["role"] == "user" and (plan := read_plan(message["content"])) is not None:
            return plan, done
        done += bool(message.get("tool_calls"))
    raise AssertionError("nobody said what to do")


def _tool_calls(stage: Sequence[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Calls as servers write them; their ids repeat from answer to answer."""
    return [
        {
            "index": number,
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for number, (name, arguments) in enumerate(stage)
    ]

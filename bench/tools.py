"""Measure turns that call tools: `python -m bench.tools`.

Turns with no call, with one and with eight at once of a tool whose API answers at once, in rounds
that take turns; then the time from the approval of a call to its request.
"""

import asyncio
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import typer

from bench.run import Results, load
from bench.stack import Stack, running_stack
from bench.table import print_rows
from bench.wire import Connection

_REACHABLE = {"STATEWRIGHT_SECURITY__EGRESS_ALLOW": "127.0.0.1/32"}
_ANSWER = (
    b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{"ok":true}'
)
_MANIFESTS = """\
apiVersion: statewright/v1
kind: ApiConnection
metadata: {{name: bench}}
spec: {{connection: {{baseUrl: "{url}", authMethod: none}}}}
---
apiVersion: statewright/v1
kind: Tool
metadata: {{name: look}}
spec:
  description: Looks something up.
  effect: read
  inputSchema: {{type: object}}
  http: {{connection: bench, method: GET, path: /look}}
---
apiVersion: statewright/v1
kind: Tool
metadata: {{name: buy}}
spec:
  description: Buys something.
  approval: always
  inputSchema: {{type: object}}
  http: {{connection: bench, method: POST, path: /buy}}
"""


class ToolServer:
    """An API that answers each request at once; `bought` holds when purchases came in."""

    def __init__(self) -> None:
        self.bought: asyncio.Queue[float] = asyncio.Queue()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers the requests of one connection; what it writes down is the end of their heads."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"POST"):
                    self.bought.put_nowait(time.perf_counter())
                    await reader.readexactly(_length(head))
                writer.write(_ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()  # also where the benchmark is over


def _length(head: bytes) -> int:
    lines = (line.partition(b":") for line in head.lower().split(b"\r\n"))
    return next((int(value) for name, _, value in lines if name == b"content-length"), 0)


@asynccontextmanager
async def _tool_server(stack: Stack) -> AsyncIterator[ToolServer]:
    tools = ToolServer()
    server = await asyncio.start_server(tools.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    connection = await Connection.open(stack.base, stack.token)
    body = _MANIFESTS.format(url=url).encode()
    status, answer = await connection.request(
        "POST", "/api/v1/cli/apply/", body, "application/yaml"
    )
    if status not in (200, 201):
        raise SystemExit(f"apply: {status} {answer!r}")
    async with server:
        yield tools
    connection.close()


async def _approval(connection: Connection, tools: ToolServer) -> float:
    """Seconds from sending an approval to the request of the call that it approves."""
    message = {"role": "user", "content": [{"content_type": "text", "text": "call buy {}"}]}
    body = {"model_profile": "script", "tools": ["buy"], "messages": [message]}
    started: Any = await connection.call("POST", "/v1/ai/threads", body)
    path = f"/v1/ai/threads/{started['data']['thread_id']}"
    actions: list[dict[str, Any]] = []
    while not actions:
        thread: Any = await connection.call("GET", path)
        actions = thread["data"]["required_actions"]
    began = time.perf_counter()
    resolve = f"/v1/ai/actions/{actions[0]['action_id']}/resolve"
    await connection.call("POST", resolve, {"decision": "approve"})
    async with asyncio.timeout(30):
        return await tools.bought.get() - began


async def _run(rounds: int, seconds: float, workers: int) -> tuple[Results, list[float]]:
    results: Results = defaultdict(list)
    async with (
        running_stack(workers, environment=_REACHABLE) as stack,
        _tool_server(stack) as tools,
    ):
        ours = ("--base", stack.base, "--token", stack.token, "--seconds", str(seconds))
        for _ in range(rounds):
            for clients in ("16", "1"):
                for calls in ("0", "1", "8"):
                    name = f"{calls} calls, {clients} clients"
                    async for result in load(
                        stack.meter, "turns", *ours, "--calls", calls, "--clients", clients
                    ):
                        results[name].append(result)
        connection = await Connection.open(stack.base, stack.token)
        approvals = [await _approval(connection, tools) for _ in range(20 * rounds)]
        connection.close()
    return results, approvals


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; medians are over them")] = 3,
    seconds: Annotated[float, typer.Option(min=1, help="Length of each load")] = 5,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes")] = 1,
) -> None:
    """Print turns that call tools, and the time from an approval to its call."""
    results, approvals = asyncio.run(_run(rounds, seconds, workers))
    print_rows(results)
    ms = sorted(1000 * took for took in approvals)
    print(
        f"from an approval to the request: median {statistics.median(ms):.1f} ms,"
        f" 95 % below {ms[int(0.95 * (len(ms) - 1))]:.1f} ms"
    )


if __name__ == "__main__":
    typer.run(main)

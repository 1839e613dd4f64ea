"""The load, in a process of its own: `python -m bench.load turns --base URL --token KEY`.

For each result it prints `begin` when all is set up and the clock starts, and a line of JSON when
it is over. Every answer is checked.
"""

import asyncio
import json
import resource
import statistics
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import quote

import orjson
import typer
import uvloop

from bench.wire import Connection

app = typer.Typer(add_completion=False)

Base = Annotated[str, typer.Option(help="http://host:port")]
Token = Annotated[str, typer.Option(help="API key")]
Clients = Annotated[int, typer.Option(help="How many at once, each on its own connection")]
Seconds = Annotated[float, typer.Option(help="How long")]

_DONE = "user_turn"
_TURN_SECONDS = 30


@dataclass
class Tally:
    """What came of the load."""

    latencies: list[float] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    requests: int = 0

    def report(self, seconds: float, **more: Any) -> None:
        """Print the result as JSON: rates per second, latencies in ms, CPU of this client in s."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        done = sorted(self.latencies)
        result = {
            "done": len(done),
            "per_second": round(len(done) / seconds, 1),
            "p50_ms": _ms(statistics.median(done)) if done else None,
            "p95_ms": _ms(done[int(0.95 * (len(done) - 1))]) if done else None,
            "max_ms": _ms(done[-1]) if done else None,
            "requests_per_turn": round(self.requests / max(1, len(done)), 2),
            "faults": dict(self.faults),
            "client_cpu": round(used.ru_utime + used.ru_stime, 2),
        }
        print(json.dumps(result | more), flush=True)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


@dataclass(frozen=True)
class Talk:
    """How a thread is started beside its first message, what is said to it, what it answers.

    What is said and answered is made of a word that is new in each turn.
    """

    fields: dict[str, Any]
    said: Callable[[str], str]
    answer: Callable[[str], str]


ECHO = Talk({}, lambda word: word, lambda word: f"[echo model] You said: {word}")


def calling(count: int) -> Talk:
    """The offline model calls the tool `look` so often at once, and then answers."""
    fields = {"model_profile": "script", "tools": ["look"]}
    calls = "call look {}\n" * count + ("then\n" if count else "")
    return Talk(fields, lambda word: calls + word, lambda word: word)


class Thread:
    """One conversation with an offline model."""

    def __init__(self, connection: Connection, tally: Tally, talk: Talk = ECHO) -> None:
        self._connection = connection
        self._tally = tally
        self._talk = talk

    async def start(self) -> None:
        """Start it and read its first answer."""
        word = uuid.uuid4().hex
        body = self._talk.fields | {"messages": [_message(self._talk.said(word))]}
        answer = await self._connection.call("POST", "/v1/ai/threads", body)
        record: Any = answer["data"]
        self._path = f"/v1/ai/threads/{record['thread_id']}"
        await self._read(word, record["continuation_token"])

    async def turn(self) -> None:
        """Say something and read the answer to its end."""
        word = uuid.uuid4().hex
        began = time.perf_counter()
        body = {"message": _message(self._talk.said(word))}
        answer = await self._connection.call("POST", f"{self._path}/messages", body)
        self._tally.requests += 1
        record: Any = answer["data"]
        async with asyncio.timeout(_TURN_SECONDS):
            await self._read(word, record["continuation_token"])
        self._tally.latencies.append(time.perf_counter() - began)

    async def _read(self, word: str, token: str) -> None:
        heard: dict[str, str] = {}
        status = None
        while status != _DONE:
            path = f"{self._path}/delta?wait=20&next_token={quote(token)}"
            answer = await self._connection.call("GET", path)
            self._tally.requests += 1
            delta: Any = answer["data"]
            token, status = delta["continuation_token"], delta["status"]
            for idx, message in delta["messages_by_idx"].items():
                if message["role"] == "assistant":
                    new = "".join(block.get("text", "") for block in message["content"])
                    heard[idx] = heard.get(idx, "") + new
        if [text for text in heard.values() if text] != [self._talk.answer(word)]:
            raise AssertionError(f"wrong answer: {heard}")


def _message(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"content_type": "text", "text": text}]}


async def _repeat(end: float, tally: Tally, work: Callable[[], Awaitable[None]]) -> None:
    while time.perf_counter() < end:
        try:
            await work()
        except (AssertionError, TimeoutError, ConnectionError) as error:
            tally.faults[f"{type(error).__name__}: {error}"[:160]] += 1
            await asyncio.sleep(0.05)


async def _threads(
    base: str, token: str, clients: int, turns: int, talk: Talk = ECHO
) -> tuple[Tally, list[Thread]]:
    """Threads with so many turns behind them, each on its own connection."""
    tally = Tally()
    threads = [Thread(await Connection.open(base, token), tally, talk) for _ in range(clients)]

    async def lead(thread: Thread) -> None:
        await thread.start()
        await _lead(thread, turns)

    await asyncio.gather(*map(lead, threads))
    tally.latencies.clear()
    tally.requests = 0
    return tally, threads


def _begin() -> float:
    print("begin", flush=True)
    return time.perf_counter()


@app.command()
def turns(
    base: Base,
    token: Token,
    clients: Clients = 16,
    seconds: Seconds = 10,
    calls: Annotated[int, typer.Option(help="Calls of `look` in each turn; -1: echo", min=-1)] = -1,
) -> None:
    """Turns in a closed loop: each client has a thread and goes on at once."""

    async def load() -> None:
        talk = ECHO if calls < 0 else calling(calls)
        tally, threads = await _threads(base, token, clients, 2, talk)
        began = _begin()
        await asyncio.gather(*(_repeat(began + seconds, tally, t.turn) for t in threads))
        tally.report(time.perf_counter() - began)

    uvloop.run(load())


@app.command()
def depth(
    *,
    base: Base,
    token: Token,
    clients: Clients = 4,
    count: Annotated[int, typer.Option(help="Turns of each thread in each result")] = 10,
    behind: Annotated[int, typer.Option(help="Turns that the long threads have behind them")] = 995,
    rounds: Annotated[int, typer.Option(help="Pairs of results")] = 3,
) -> None:
    """Turns 6 to 15 of young threads beside turns 996 and on of long ones, in turns."""

    async def load() -> None:
        long = await _threads(base, token, clients, behind)
        for _ in range(rounds):
            young = await _threads(base, token, clients, 5)
            for which, (tally, threads) in (("young", young), ("long", long)):
                tally.latencies.clear()
                began = _begin()
                await asyncio.gather(*(_lead(thread, count) for thread in threads))
                tally.report(time.perf_counter() - began, which=which)

    uvloop.run(load())


async def _lead(thread: Thread, count: int) -> None:
    for _ in range(count):
        await thread.turn()


@app.command()
def agents(base: Base, token: Token, clients: Clients = 16, seconds: Seconds = 5) -> None:
    """Create agents, then get them; two results."""

    async def load() -> None:
        connections = [await Connection.open(base, token) for _ in range(clients)]
        created: list[str] = []

        async def create(connection: Connection) -> None:
            body = {
                "name": uuid.uuid4().hex,
                "request_template": {"messages": [_message("Explain {{topic}}.")]},
                "variables": [{"name": "topic"}],
            }
            answer: Any = await connection.call("POST", "/v1/ai/agents", body)
            created.append(answer["data"]["agent_id"])

        async def get(connection: Connection) -> None:
            agent_id = created[0]
            answer: Any = await connection.call("GET", f"/v1/ai/agents/{agent_id}")
            if answer["data"]["agent_id"] != agent_id:
                raise AssertionError("another agent")

        await _timed(connections, create, seconds, "create")
        await _timed(connections, get, seconds, "get")

    uvloop.run(load())


@app.command()
def floor(base: Base, clients: Clients = 16, seconds: Seconds = 5) -> None:
    """Insert and select through the floor; two results."""

    async def load() -> None:
        connections = [await Connection.open(base) for _ in range(clients)]
        body = orjson.dumps({"body": "x" * 100})

        async def insert(connection: Connection) -> None:
            await connection.request("POST", "/items", body)

        async def select(connection: Connection) -> None:
            answer = await connection.call("GET", "/items/1")
            if answer["id"] != 1:
                raise AssertionError("another row")

        await _timed(connections, insert, seconds, "insert")
        await _timed(connections, select, seconds, "select")

    uvloop.run(load())


async def _timed(
    connections: list[Connection],
    work: Callable[[Connection], Awaitable[None]],
    seconds: float,
    which: str,
) -> None:
    for measured, length in ((False, 0.5), (True, seconds)):
        tally = Tally()

        async def one(connection: Connection, tally: Tally = tally) -> None:
            began = time.perf_counter()
            await work(connection)
            tally.latencies.append(time.perf_counter() - began)

        began = _begin() if measured else time.perf_counter()
        end = began + length
        await asyncio.gather(
            *(_repeat(end, tally, lambda c=connection: one(c)) for connection in connections)
        )
        if measured:
            tally.report(time.perf_counter() - began, which=which)


if __name__ == "__main__":
    app()

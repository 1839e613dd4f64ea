"""The attacks at full size: each of them cost seconds, gigabytes or others' turns before."""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx

from tests.attacks.full.world import World
from tests.support.flows import flow_of
from tests.support.manifests import manifest
from tests.support.threads import THREADS, said

MB = 1_000_000
_LISTS = b"[" + b"[]," * 1_600_000 + b"[]]"
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Attack:
    """What is done, and the most that it may cost.

    Attributes:
        do: prepares what it needs, and gives what is measured then.
        cpu: seconds of the API and the workers.
        mb: by which the API, or a worker, may grow.
        turn: seconds that a turn of another org may take meanwhile.
        seconds: that it may last: for so long it holds connections.
    """

    do: "Prepare"
    cpu: float = 5.0
    mb: float = 200.0
    turn: float = 3.0
    seconds: float = math.inf


Prepare = Callable[[World], Awaitable[Awaitable[Any]]]
ATTACKS: dict[str, Attack] = {}


def attack(**most: float) -> Callable[[Prepare], Prepare]:
    """Adds an attack under the name of its function."""

    def add(do: Prepare) -> Prepare:
        ATTACKS[do.__name__.replace("_", " ")] = Attack(do, **most)
        return do

    return add


async def _at_once(count: int, waiting: Iterable[Awaitable[Any]]) -> None:
    limit = asyncio.Semaphore(count)

    async def one(request: Awaitable[Any]) -> None:
        async with limit:
            await request

    await asyncio.gather(*(one(request) for request in waiting))


def _posts(
    world: World, client: httpx.AsyncClient, paths: Iterable[str], content: bytes
) -> Iterator[Awaitable[Any]]:
    """The same JSON to each path."""
    return (world.ask(client, "POST", path, content=content, headers=_JSON) for path in paths)


def _dense(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


# Without a key.


@attack()
async def colons_in_the_path(world: World) -> Awaitable[None]:
    path = "/" + "://" * 10 + ":" * 20_000
    return _at_once(4, (world.ask(world.anonymous, "GET", path) for _ in range(20)))


@attack()
async def heads_of_sixty_megabytes(world: World) -> Awaitable[None]:
    pieces = [b"GET /health/live HTTP/1.1\r\nHost: x\r\nA: ", *[b"a" * MB] * 60, b"\r\n\r\n"]
    return _at_once(4, (world.raw(*pieces) for _ in range(8)))


@attack()
async def bodies_without_a_key(world: World) -> Awaitable[None]:
    paths = [THREADS, "/v1/ai/agents", "/api/v1/cli/apply/", "/health/live", "/nowhere"]
    return _at_once(5, _posts(world, world.anonymous, paths * 4, _LISTS))


@attack(seconds=25.0)
async def heads_that_never_end(world: World) -> Awaitable[None]:
    half = b"GET /health/live HTTP/1.1\r\nHost: x\r\n"
    return _at_once(400, (world.raw(half) for _ in range(400)))


@attack(seconds=15.0)
async def bodies_that_never_come(world: World) -> Awaitable[None]:
    head = f"POST {THREADS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    half = head.encode() + b"Content-Length: 1000\r\n\r\n{"
    return _at_once(200, (world.raw(half) for _ in range(200)))


# With a key of an org.


@attack()
async def bodies_of_empty_lists(world: World) -> Awaitable[None]:
    paths = [THREADS, "/v1/ai/agents", "/api/v1/cli/apply/", "/v1/skills/create"]
    return _at_once(4, _posts(world, world.attacker, paths * 2, _LISTS))


@attack(cpu=3.0)
async def a_context_of_many_nodes(world: World) -> Awaitable[None]:
    body = {"messages": [said("Hi")], "client_context": {"misc_context": {"a": [0] * 1_200_000}}}
    return _at_once(4, _posts(world, world.attacker, [THREADS] * 8, _dense(body)))


@attack()
async def unknown_fields(world: World) -> Awaitable[None]:
    body = {"messages": [said("Hi")], **{f"{n:x}": 0 for n in range(380_000)}}
    paths = [THREADS, "/v1/ai/agents", "/api/v1/cli/apply/"]
    return _at_once(4, _posts(world, world.attacker, paths * 2, _dense(body)))


@attack()
async def an_event_shown_five_hundred_times(world: World) -> Awaitable[None]:
    spec = flow_of({"invoke": "verbatim", "template": "x"})
    spec["templates"]["waiting"] = "{{ actor_input }}" * 500
    states = spec["statechart"]["states"]
    states["waiting"]["transitions"].append({"event": "show", "target": "waiting"})
    await world.apply(manifest("Flow", "often", spec))
    return _at_once(2, (world.session("often", "x" * 2 * MB, "show") for _ in range(4)))


@attack(cpu=20.0)
async def a_map_inside_a_map(world: World) -> Awaitable[None]:
    """Each inner step sees the outer item, which has a name of its own."""
    inner = {
        "map": {
            "over": "outer.rest",
            "template": {"invoke": "verbatim", "template": "{{ map_index }}"},
        }
    }
    outer = {"map": {"over": "parsed_actor_input.items", "value_field": "outer", "template": inner}}
    await world.apply(manifest("Flow", "maps", flow_of(outer)))
    item = {"big": "x" * 100_000, "rest": list(range(100))}
    event = json.dumps({"items": [item] * 15})
    return _at_once(2, (world.session("maps", event) for _ in range(4)))


@attack(cpu=20.0)
async def a_chain_before_a_map(world: World) -> Awaitable[None]:
    inner = {
        "chain": [
            {"invoke": "verbatim", "template": "{{ actor_input }}"},
            {
                "map": {
                    "over": "parsed_actor_input.items",
                    "template": {"invoke": "verbatim", "template": "{{ map_index }}"},
                }
            },
        ]
    }
    await world.apply(manifest("Flow", "chained", flow_of(inner)))
    event = json.dumps({"big": "x" * MB, "items": list(range(900))})
    return _at_once(2, (world.session("chained", event) for _ in range(2)))


_RUNAWAY = "{% for a in range(99999) %}{% for b in range(99999) %}{{ '' }}{% endfor %}{% endfor %}"


@attack(cpu=400.0, turn=20.0)
async def runaway_templates(world: World) -> Awaitable[None]:
    for number in range(60):
        step = {"invoke": "verbatim", "template": f"{_RUNAWAY}{number}"}
        await world.apply(manifest("Flow", f"runaway-{number}", flow_of(step)))
    await _honest_template(world)
    await _at_once(20, (world.session(f"runaway-{n}", "go") for n in range(60)))
    return _honest_turn(world)


async def _honest_template(world: World) -> None:
    step = {"invoke": "verbatim", "template": "{% if actor_input %}{{ actor_input }}{% endif %}"}
    document = json.dumps(manifest("Flow", "honest", flow_of(step)))
    await world.ask(world.other, "POST", "/api/v1/cli/apply/", content=document)


async def _honest_turn(world: World) -> None:
    """A turn of the other org on a template that no process has compiled yet."""
    started = await world.ask(world.other, "POST", "/v1/ai/honest/start_session", json={})
    assert started is not None
    body = {"session_id": started.json()["session_id"], "event": "user_input", "event_input": "hi"}
    answer = await world.ask(world.other, "POST", "/v1/ai/honest/event", json=body)
    while answer is not None and answer.json().get("next_actions") == ["poll"]:
        poll = {**body, "event": "poll", "event_input": ""}
        answer = await world.ask(
            world.other, "POST", "/v1/ai/honest/event", params={"wait": 10}, json=poll
        )


@asynccontextmanager
async def _silent_server() -> Any:
    """Takes connections, and never answers; its address."""

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError):  # the attack is over
            while await reader.read(65_536):
                pass
        writer.close()

    server = await asyncio.start_server(keep, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@attack(turn=5.0)
async def slow_steps(world: World) -> Awaitable[None]:
    async def fill() -> None:
        async with _silent_server() as address:
            step = {
                "invoke": "http",
                "template": "{{ actor_input }}",
                "config": {"connection": "silent", "method": "POST", "path": "/"},
            }
            connection = {"connection": {"baseUrl": address, "authMethod": "none"}}
            await world.apply(
                manifest("ApiConnection", "silent", connection),
                manifest("Flow", "silent", flow_of(step)),
            )
            await _at_once(20, (world.session("silent", "x") for _ in range(60)))
            await asyncio.sleep(15)

    return fill()


def _big_flow(states: int) -> dict[str, Any]:
    spec = flow_of({"invoke": "verbatim", "template": "{{ actor_input }}"})
    spec["templates"]["waiting"] = "{{ actor_input }} x " * 2_400
    chart = spec["statechart"]["states"]
    for number in range(states):
        before = chart[f"s{number - 1}" if number else "waiting"]
        before["transitions"].append({"event": "next", "target": f"s{number}"})
        chart[f"s{number}"] = {"transitions": [{"event": "back", "target": "waiting"}]}
        spec["templates"][f"s{number}"] = "here"
    return spec


@attack(cpu=10.0)
async def lists_of_big_flows(world: World) -> Awaitable[None]:
    for number in range(60):
        await world.apply(manifest("Flow", f"big-{number}", _big_flow(states=150)))
    return _at_once(4, (world.ask(world.attacker, "GET", "/v1/ai/flows") for _ in range(8)))


_COPY_SESSIONS = """
INSERT INTO session SELECT (jsonb_populate_record(s, jsonb_build_object('id', 'ath_x' || n,
  'title', 'note ' || md5(n::text)))).*
FROM session s, generate_series(1, $2::int) n WHERE s.id = $1"""
_COPY_MESSAGES = """
INSERT INTO message SELECT (jsonb_populate_record(m, jsonb_build_object('idx', n))).*
FROM message m, generate_series(2, 1 + $2::int) n WHERE m.session_id = $1 AND m.idx = 0"""


async def _thread(world: World, text: str) -> str:
    started = await world.ask(
        world.attacker, "POST", THREADS, json={"messages": [said(text)]}, headers=_JSON
    )
    assert started is not None
    thread_id: str = started.json()["data"]["thread_id"]
    await asyncio.sleep(2)  # its turn is over
    return thread_id


@attack(cpu=10.0)
async def searches_at_once(world: World) -> Awaitable[None]:
    thread_id = await _thread(world, "one")
    await world.stack.execute(_COPY_SESSIONS, thread_id, 100_000)
    requests = (
        world.ask(world.attacker, "POST", f"{THREADS}/search", json={"text": f"zz{n}q"})
        for n in range(200)
    )
    return _at_once(25, requests)


@attack(cpu=20.0, mb=300.0)
async def a_thread_of_three_hundred_megabytes(world: World) -> Awaitable[None]:
    thread_id = await _thread(world, "x" * 900_000)
    await world.stack.execute(_COPY_MESSAGES, thread_id, 340)
    paths = [f"{THREADS}/{thread_id}", f"{THREADS}/{thread_id}/delta"] * 3
    return _at_once(3, (world.ask(world.attacker, "GET", path) for path in paths))


@attack(cpu=20.0, mb=300.0)
async def revisions_of_a_big_agent(world: World) -> Awaitable[None]:
    text = "word " * 180_000

    def body(number: int) -> dict[str, Any]:
        messages = [said(text), said(text, "assistant"), said(text), said(f"{number}")]
        return {"name": "big", "request_template": {"messages": messages}}

    made = await world.ask(world.attacker, "POST", "/v1/ai/agents", json=body(0))
    if made is None or not made.is_success:
        return asyncio.sleep(0)
    path = f"/v1/ai/agents/{made.json()['data']['agent_id']}"
    for number in range(1, 40):
        await world.ask(world.attacker, "PUT", path, json=body(number))
    revisions = f"{path}/revisions"
    return _at_once(4, (world.ask(world.attacker, "GET", revisions) for _ in range(8)))


@attack(cpu=10.0)
async def requests_that_are_held(world: World) -> Awaitable[None]:
    thread_id = await _thread(world, "one")
    delta = await world.ask(world.attacker, "GET", f"{THREADS}/{thread_id}/delta")
    assert delta is not None
    token = delta.json()["data"]["continuation_token"]
    path = f"{THREADS}/{thread_id}/delta?next_token={token}&wait=10"
    return _at_once(1_000, (world.lean(path) for _ in range(1_000)))


@attack(cpu=60.0, turn=5.0)
async def a_flood_of_requests(world: World) -> Awaitable[None]:
    return _at_once(50, (world.lean(THREADS, 60) for _ in range(50)))

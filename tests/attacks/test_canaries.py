"""A dozen secrets go through every kind of call, failing and not, and are seen nowhere then."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import cycle
from typing import Any

import httpx
import pytest
from redis.asyncio.connection import AbstractConnection

from app.db.engine import Database
from app.flows.model.codec import decompress
from app.kit.log import configure_logging
from app.settings import Settings
from app.worker import serving
from tests.support.canaries import CANARIES, OTHERS, SENDABLE, echoes, leaked
from tests.support.echo_server import EchoServer
from tests.support.get_paths import GET_PATHS
from tests.support.manifests import manifest, many, post, secret, send
from tests.support.mcp_server import McpServer, text, tool
from tests.support.model_server import SHAPES, ModelServer, Said
from tests.support.providers import load_provider
from tests.support.threads import settled, start

_MODES = ("200", "401", "500", "302", "cut", "slow", "malformed")
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
_NAMES = {value: f"s{number}" for number, value in enumerate(CANARIES.values())}
_TIMEOUT = 0.3
_ASKED = {
    "/v1/ai/threads/{thread_id}": {"load_messages": "true"},
    "/v1/ai/usage": {"by": "provider"},
}
_LANES = 6  # sessions that make calls at once


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """This machine may be reached, and nothing is tried for long."""
    security = settings.security.model_copy(update={"egress_allow": ["127.0.0.0/8"]})
    step = settings.step.model_copy(update={"max_attempts": 1})
    return settings.model_copy(update={"security": security, "step": step, "log_level": "DEBUG"})


@pytest.fixture
async def servers() -> AsyncIterator[tuple[EchoServer, ModelServer]]:
    for shape in SHAPES:
        load_provider(shape)
    async with EchoServer(SENDABLE["long"]) as upstream, ModelServer() as model:
        yield upstream, model


@pytest.fixture
def all_logs() -> Iterator[None]:
    """Logs of the least level, but for the thousands of lines of one library."""
    machines = logging.getLogger("statemachine")
    configure_logging("DEBUG")
    machines.setLevel(logging.INFO)
    yield
    machines.setLevel(logging.NOTSET)
    configure_logging("INFO")


@pytest.fixture
async def worker(settings: Settings) -> AsyncIterator[None]:
    """A worker that serves while the test runs."""
    async with serving(settings):
        yield


def connections(upstream: EchoServer, model: ModelServer) -> Iterator[dict[str, Any]]:
    """Each with a secret of its own: the ways to sign in, and what may come of a call."""
    sendable, any_ = cycle(SENDABLE.values()), cycle([*OTHERS.values(), *SENDABLE.values()])
    for mode in _MODES:
        base: dict[str, Any] = {"baseUrl": f"{upstream.url}/{mode}", "timeout": seconds(mode)}
        header = {"headers": {"X-Key": {"secret": _NAMES[next(sendable)]}}}
        yield {**base, **header, "authMethod": "token", "apiKey": _NAMES[next(sendable)]}
        pair = {"username": _NAMES[next(any_)], "password": _NAMES[next(any_)]}
        yield {**base, "authMethod": "basic", **pair}
    for api, server in (("200", "token"), ("401", "token"), ("200", "401"), ("200", "malformed")):
        pair = {"username": _NAMES[next(sendable)], "password": _NAMES[next(any_)]}
        where = {"baseUrl": f"{upstream.url}/{api}", "tokenUrl": f"{upstream.url}/{server}/x"}
        yield {**where, "authMethod": "oauth", **pair}
    for value in OTHERS.values():  # some of which no header carries
        key = {"authMethod": "token", "apiKey": _NAMES[value]}
        yield {"baseUrl": f"{upstream.url}/200", **key}
    for shape in SHAPES:
        for mode in ("200", "401", "malformed", "slow"):
            url = model.base_url(shape) if mode == "200" else f"{upstream.url}/{mode}"
            value = next(sendable)
            # The model's server says what it was sent: it knows it by the question.
            pieces = echoes(value).split("n")
            said = [*(f"{piece}n" for piece in pieces[:-1]), pieces[-1]]
            model.answers[f"ask {_NAMES[value]}"] = Said(tuple(said), reasoning=echoes(value))
            yield {"type": shape, "model": "m", "baseUrl": url, "apiKey": _NAMES[value]}


def calling(found: list[dict[str, Any]]) -> tuple[list[Any], Any]:
    """The connections as manifests, and a flow that has a state for each."""
    documents, states, templates = [], {}, {}
    goes = [{"event": f"go_{number}", "target": f"work_{number}"} for number in range(len(found))]
    states["waiting"] = {"initial": True, "transitions": goes}
    templates["waiting"] = "{{ actor_input }}"
    for number, spec in enumerate(found):
        template: dict[str, Any] = {"template": "{}", "retries": 0, "timeout": 10}
        if "type" in spec:
            documents.append(manifest("Provider", f"c{number}", spec))
            template |= {"invoke": f"c{number}", "template": f"ask {spec['apiKey']}"}
            template |= {"timeout": seconds(spec["baseUrl"])}
        else:
            documents.append(manifest("ApiConnection", f"c{number}", {"connection": spec}))
            template |= {"invoke": "http", "config": {"connection": f"c{number}", "path": "x"}}
        states[f"work_{number}"] = {"transitions": [{"event": "done", "target": "waiting"}]}
        templates[f"work_{number}"] = template
    flow = {"statechart": {"states": states}, "templates": templates}
    return documents, manifest("Flow", "canary", flow)


def seconds(mode: str) -> float:
    """For how long an answer is waited for; of a server that takes its time, not long."""
    return _TIMEOUT if "slow" in mode else 10


class Watched:
    """A client that keeps all that it is answered."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.texts: list[str] = []
        client.event_hooks = {"response": [self._keep]}

    async def _keep(self, response: httpx.Response) -> None:
        self.texts += [(await response.aread()).decode(), str(response.headers)]


async def run_flow(client: httpx.AsyncClient, states: Iterable[int]) -> list[str]:
    """Sends the events of some states; what came of them, and then the id of their session."""
    started = await client.post("/v1/ai/canary/start_session", json={})
    session = {"session_id": started.json()["session_id"], "event_input": ""}
    outcomes = []
    for number in states:
        answer = await client.post("/v1/ai/canary/event", json={**session, "event": f"go_{number}"})
        assert answer.status_code == 200, answer.text
        while answer.json()["next_actions"] == ["poll"]:
            body = {**session, "event": "poll"}
            answer = await client.post("/v1/ai/canary/event", json=body, params={"wait": 10})
        outcomes.append(str(answer.json()["error"] or answer.json()["response"]))
    return [*outcomes, session["session_id"]]


async def rows(database: Database) -> AsyncIterator[tuple[str, str]]:
    """Each value of each row of each table, unpacked."""
    for table in await database.pool.fetch(_TABLES):
        for row in await database.pool.fetch(f'SELECT * FROM "{table[0]}"'):  # noqa: S608 - a name
            for column, value in row.items():
                yield f"{table[0]}.{column}", shown(value)


@pytest.fixture
def sent_to_redis(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """All that is sent to Redis: what is kept there is there for seconds."""
    sent: list[bytes] = []
    send = AbstractConnection.send_packed_command

    async def keep(connection: AbstractConnection, command: Any, check_health: bool = True) -> None:
        sent.append(command if isinstance(command, bytes) else b"".join(command))
        await send(connection, command, check_health)

    monkeypatch.setattr(AbstractConnection, "send_packed_command", keep)
    return sent


def shown(value: Any) -> str:
    if not isinstance(value, bytes):
        return json.dumps(value, default=str, ensure_ascii=False) + str(value)
    head, _, payload = value.partition(b":")[2].partition(b":")
    return (decompress(payload) if head == b"1" else value).decode(errors="replace")


@pytest.mark.usefixtures("all_logs", "worker")
async def test_no_secret_is_seen_anywhere(
    client: httpx.AsyncClient,
    servers: tuple[EchoServer, ModelServer],
    database: Database,
    sent_to_redis: list[bytes],
    capfd: pytest.CaptureFixture[str],
) -> None:
    found = list(connections(*servers))
    documents, flow = calling(found)
    watched = Watched(client)
    await post(client, "apply", many(*(secret(name, value) for value, name in _NAMES.items())))
    await post(client, "apply", many(*documents, flow))
    lanes = [range(lane, len(found), _LANES) for lane in range(_LANES)]
    runs = await asyncio.gather(*(run_flow(client, lane) for lane in lanes))
    thread_id = await tools_called(client)
    await mistakes(client)
    await everything_read(client, [run[-1] for run in runs], thread_id)

    outcomes = [outcome for run in runs for outcome in run[:-1]]
    assert all(outcome for outcome in outcomes)
    assert sum("***" in outcome for outcome in outcomes) > len(outcomes) / 2
    assert set(servers[0].received) == {*_MODES, "token"}
    seen = {"answers": "\n".join(watched.texts), "logs": "".join(capfd.readouterr())}
    seen["Redis"] = b"".join(sent_to_redis).decode(errors="replace")
    assert "***" in seen["Redis"]
    async for place, value in rows(database):
        seen[place] = seen.get(place, "") + value
    assert {place for place in seen if place.startswith("step.")}
    forms = {place: leaked(value, *CANARIES.values()) for place, value in seen.items()}
    assert {place: found for place, found in forms.items() if found} == {}


async def tools_called(client: httpx.AsyncClient) -> str:
    """A thread whose model has called tools of every kind of connection; its id."""
    key = SENDABLE["quotes"]

    async def repeat(_: Any) -> Any:
        return text(echoes(key), structured_content={key: [key]})

    async with McpServer(tool("say", description=echoes(key)), handle=repeat) as server:
        spec = {"url": server.url, "auth": _NAMES[key], "allowedTools": ["say"]}
        documents = [manifest("McpServer", "m", spec)]
        for number in range(2 * len(_MODES)):
            http = {"connection": f"c{number}", "method": "GET", "path": "/y"}
            given = {
                "description": "x",
                "effect": "read",
                "retries": 0,
                "timeout": seconds(_MODES[number // 2]),
                "http": http,
            }
            documents.append(manifest("Tool", f"t{number}", given))
        await post(client, "apply", many(*documents))
        names = [*(f"t{number}" for number in range(2 * len(_MODES))), "m__say"]
        lines = "\n".join(f"call {name} {{}}" for name in names)
        thread = await start(client, f"{lines}\nthen", model_profile="script", tools=names)
        read = await settled(client, thread["thread_id"])
    assert "***" in json.dumps(read)
    assert len(server.calls) == 1
    thread_id: str = thread["thread_id"]
    return thread_id


async def mistakes(client: httpx.AsyncClient) -> None:
    """Secrets at places where they do not belong, as they are pasted there."""
    for value in (CANARIES[name] for name in ("quotes", "JSON")):
        pasted = [
            secret("x", value, expirationDate=value),
            manifest("Secret", "x", {"config": {"valeu": value, value: 1}}),
            manifest("Secret", "x", {"config": {"value": [value]}}),
            manifest("Secret", "x", {"config": {"value": f"{value}\n"}}),
            manifest("Provider", "x", {"type": "openai", "model": "m", "apiKey": value}),
        ]
        await asyncio.gather(*(send(client, "apply", one) for one in pasted))
        for verb in ("apply", "diff"):
            await send(client, verb, json.dumps(pasted[2])[:-3])
            await send(client, verb, f"kind: Secret\nspec: {{config: {{value: '{value}")


async def everything_read(
    client: httpx.AsyncClient, session_ids: list[str], thread_id: str
) -> None:
    """Asks all that can be got, and every verb that shows a resource."""
    known = {"flow": "canary", "thread_id": thread_id}
    for path in GET_PATHS:
        for session_id in session_ids if "{session_id}" in path else [""]:
            names = re.findall("{(.*?)}", path)
            values = {name: (known | {"session_id": session_id}).get(name, "x") for name in names}
            answer = await client.get(path.format(**values), params=_ASKED.get(path))
            assert answer.status_code == 200 or "x" in values.values(), (path, answer.text)
    for kind in ("Secret", "Provider", "ApiConnection", "McpServer", "Tool", "Flow", "Session"):
        answer = await send(client, f"get/{kind}", i=100, manifests=True)
        for item in answer.json()["data"]["data"]["items"][:2]:
            name = str(item.get("name") or session_ids[0])
            await send(client, f"describe/{kind}", name=name)
            await send(client, f"logs/{kind}", name=name)

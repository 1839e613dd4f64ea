"""A running service with two orgs: one attacks, and turns of the other are timed meanwhile."""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from app.kit.concurrency.tasks import end_tasks
from app.settings import environment_with
from bench.stack import Stack, running_stack
from bench.wire import Connection
from tests.support.threads import THREADS, said

_PAGE_MB = 4096 / 1_000_000
_SAMPLE_SECONDS = 0.05
_PAUSE_SECONDS = 0.1  # between two turns of the org that is not attacked
_PATIENCE = 60.0  # of both: what takes longer is an error
# What the attacks call is on this machine.
_ENVIRONMENT = {
    "STATEWRIGHT_SECURITY__EGRESS_ALLOW": "127.0.0.0/8",
    "STATEWRIGHT_LOG_LEVEL": "INFO",  # as services run: what is logged is paid for too
}


@dataclass
class Answers:
    """How requests were answered: by status, or by the name of the error without one."""

    counts: Counter[str] = field(default_factory=Counter)
    longest: int = 0

    def note(self, answer: "httpx.Response | Exception") -> None:
        if isinstance(answer, httpx.Response):
            self.counts[str(answer.status_code)] += 1
            self.longest = max(self.longest, len(answer.content))
        else:
            self.counts[type(answer).__name__] += 1

    def __str__(self) -> str:
        counts = ", ".join(f"{count}x {what}" for what, count in self.counts.most_common())
        return f"{counts}; longest {self.longest:,} B" if self.longest > 100_000 else counts


@dataclass(frozen=True)
class Cost:
    """What an attack cost: CPU seconds and megabytes of our processes, seconds of the others."""

    seconds: float
    api_cpu: float
    worker_cpu: float
    api_mb: float
    worker_mb: float
    turns: int
    slowest_turn: float
    failed_turns: int


class World:
    """The service, an attacker with a key of its own org, and requests without a key."""

    def __init__(self, stack: Stack, attacker: httpx.AsyncClient, other: httpx.AsyncClient) -> None:
        self.stack = stack
        self.attacker = attacker
        self.other = other
        self.anonymous = httpx.AsyncClient(
            base_url=stack.base, trust_env=False, timeout=_PATIENCE, limits=httpx.Limits()
        )
        self.answers = Answers()

    async def ask(
        self, client: httpx.AsyncClient, method: str, path: str, **options: Any
    ) -> httpx.Response | None:
        """Sends a request and notes how it was answered; None where it was not."""
        try:
            answer = await client.request(method, path, **options)
        except (httpx.HTTPError, OSError) as error:
            self.answers.note(error)
            return None
        self.answers.note(answer)
        return answer

    async def lean(self, path: str, times: int = 1) -> None:
        """Gets a path with the attacker's key, by a client that costs next to nothing."""
        token = self.attacker.headers["Authorization"].removeprefix("Bearer ")
        connection = await Connection.open(self.stack.base, token)
        for _ in range(times):
            status, _ = await connection.request("GET", path)
            self.answers.counts[str(status)] += 1

    async def apply(self, *documents: Any) -> None:
        """Applies manifests, one request each; without them there would be no attack."""
        for document in documents:
            content = json.dumps(document)
            answer = await self.attacker.post("/api/v1/cli/apply/", content=content)
            assert answer.is_success, answer.text

    async def session(self, flow: str, event_input: str = "", event: str = "user_input") -> str:
        """Starts a session of a flow and sends it an event; its id."""
        started = await self.ask(self.attacker, "POST", f"/v1/ai/{flow}/start_session", json={})
        session_id = started.json().get("session_id", "") if started is not None else ""
        body = {"session_id": session_id, "event": event, "event_input": event_input}
        await self.ask(self.attacker, "POST", f"/v1/ai/{flow}/event", json=body)
        return str(session_id)

    async def raw(self, *pieces: bytes, seconds: float = 0.0) -> None:
        """Sends bytes over a connection of its own, and notes the first line of the answer."""
        address = urlsplit(self.stack.base)
        try:
            async with asyncio.timeout(_PATIENCE):
                reader, writer = await asyncio.open_connection(address.hostname, address.port)
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(seconds)
                line = await reader.readline()
                writer.close()
        except (OSError, TimeoutError) as error:
            self.answers.note(error)
            return
        self.answers.counts[line.decode("latin1").strip() or "closed"] += 1

    @asynccontextmanager
    async def measured(self) -> AsyncIterator[list[Cost]]:
        """Measures while the block lasts; the list has the cost afterwards."""
        costs: list[Cost] = []
        turns, memory = _Turns(self.other), _Memory(self.stack)
        before, began = await self.stack.meter.read(), time.monotonic()
        watching = [asyncio.create_task(turns.repeat()), asyncio.create_task(memory.sample())]
        try:
            yield costs
            await turns.one_more()
        finally:
            await end_tasks(*watching)
        after = await self.stack.meter.read()
        used = {role: after.cpu[role] - before.cpu[role] for role in ("api", "worker")}
        costs.append(
            Cost(
                seconds=time.monotonic() - began,
                api_cpu=used["api"],
                worker_cpu=used["worker"],
                api_mb=memory.grown("api"),
                worker_mb=memory.grown("worker"),
                turns=len(turns.seconds),
                slowest_turn=max(turns.seconds, default=0.0),
                failed_turns=turns.failed,
            )
        )


class _Turns:
    """Turns of the org that does nothing wrong, one after the other."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._ended = asyncio.Event()
        self.seconds: list[float] = []
        self.failed = 0

    async def repeat(self) -> None:
        while True:
            began = time.monotonic()
            try:
                await self._turn()
            except (httpx.HTTPError, OSError, KeyError, ValueError):
                self.failed += 1
            self.seconds.append(time.monotonic() - began)
            self._ended.set()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def one_more(self) -> None:
        """Waits until the turn that runs now, or the next, is over."""
        self._ended.clear()
        await self._ended.wait()

    async def _turn(self) -> None:
        started = await self._client.post(THREADS, json={"messages": [said("Hi")]})
        url = f"{THREADS}/{started.json()['data']['thread_id']}/delta"
        token, status = "", ""
        while status != "user_turn":
            answer = await self._client.get(url, params={"next_token": token, "wait": 10})
            delta = answer.raise_for_status().json()["data"]
            token, status = delta["continuation_token"], delta["status"] or status


class _Memory:
    """The resident memory of the API and of the workers, with their children."""

    def __init__(self, stack: Stack) -> None:
        self._pids = {role: stack.pids[role] for role in ("api", "worker")}
        self._first = {role: _megabytes(pids) for role, pids in self._pids.items()}
        self._most = dict(self._first)

    async def sample(self) -> None:
        while True:
            for role, pids in self._pids.items():
                self._most[role] = max(self._most[role], _megabytes(pids))
            await asyncio.sleep(_SAMPLE_SECONDS)

    def grown(self, role: str) -> float:
        return self._most[role] - self._first[role]


def _megabytes(pids: Sequence[int]) -> float:
    return sum(_pages(pid) for pid in _trees(pids)) * _PAGE_MB


def _trees(pids: Sequence[int]) -> Iterator[int]:
    for pid in pids:
        yield pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            continue
        yield from _trees([int(child) for child in children])


def _pages(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0


@asynccontextmanager
async def running_world(code: Path) -> AsyncIterator[World]:
    """A service of that checkout, with one worker, on an empty database."""
    async with (
        running_stack(1, code, _ENVIRONMENT) as stack,
        _client(stack, _new_key(stack, code, "attacker")) as attacker,
        _client(stack, _new_key(stack, code, "other")) as other,
    ):
        world = World(stack, attacker, other)
        async with world.anonymous:
            yield world


def _client(stack: Stack, key: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=stack.base,
        headers={"Authorization": f"Bearer {key}"},
        trust_env=False,
        timeout=_PATIENCE,
        limits=httpx.Limits(),
    )


def _new_key(stack: Stack, code: Path, org: str) -> str:
    command = [sys.executable, "-m", "app.cli", "key", "create", "--org", org]
    user = ["--user", f"{org}@example.com", "--data-dir", str(stack.data_dir)]
    made = subprocess.run(
        [*command, *user],
        cwd=code,
        check=True,
        capture_output=True,
        env=environment_with({"DATABASE_URL": stack.database_url}),
    )
    return str(json.loads(made.stdout)["api_key"])

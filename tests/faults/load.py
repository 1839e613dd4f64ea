"""Clients as they should be: each message has its key and is sent until it is acknowledged."""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Self

import httpx

from app.kit.certificates import NO_CERTIFICATES
from tests.faults.system import PATIENCE, System, until

BUSY_PROBLEM = "urn:statewright:problem:session-busy"


def message(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"text": text}]}


def request_of(thread_id: str, text: str) -> tuple[str, dict[str, Any]]:
    """Path and body that say something in a thread; "" starts one."""
    if thread_id:
        return f"/{thread_id}/messages", {"message": message(text)}
    return "", {"messages": [message(text)]}


def long_text(start: str, words: int) -> str:
    """A message whose answer takes as many pauses of `echo` longer."""
    return " ".join([start, *(["more"] * words)])


def says_try_again(response: httpx.Response) -> bool:
    if response.status_code == 409:
        return bool(response.json()["type"] == BUSY_PROBLEM)
    return response.status_code == 503


class Client:
    """Sends a request to one API after the other until the answer is not "try again".

    `statuses` counts those of all answers; 0 stands for none at all.
    """

    def __init__(self, http: httpx.AsyncClient, base_urls: Sequence[str]) -> None:
        self.http = http
        self.base_urls = base_urls
        self.statuses: Counter[int] = Counter()
        self._numbers = count()

    @classmethod
    @asynccontextmanager
    async def of(cls, system: System) -> AsyncIterator[Self]:
        headers = {"Authorization": f"Bearer {system.api_key}"}
        async with httpx.AsyncClient(
            headers=headers, verify=NO_CERTIFICATES, timeout=20, trust_env=False
        ) as http:
            yield cls(http, system.base_urls)

    async def once(
        self, number: int, method: str, path: str, *, key: str | None = None, **arguments: Any
    ) -> httpx.Response:
        """One try, at the API of that number."""
        headers = {"Idempotency-Key": key} if key else {}
        url = f"{self.base_urls[number % len(self.base_urls)]}/v1/ai/threads{path}"
        return await self.http.request(method, url, headers=headers, **arguments)

    async def data(self, method: str, path: str, **arguments: Any) -> Any:
        """The data of the answer that comes in the end, which must be a good one."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        for number in self._numbers:
            try:
                response = await self.once(number, method, path, **arguments)
            except httpx.TransportError:
                self.statuses[0] += 1
            else:
                self.statuses[response.status_code] += 1
                if not says_try_again(response):
                    assert response.is_success, f"{method} {path}: {response.text}"
                    return response.json()["data"]
                assert int(response.headers["retry-after"]) >= 1, response.text
            assert asyncio.get_running_loop().time() < deadline, f"no answer to {method} {path}"
            await asyncio.sleep(0.1)  # sooner than it says: the tests are in a hurry
        raise AssertionError


class Conversation:
    """One thread, and what was said in it: acknowledged, in order."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.thread_id = ""
        self.said: list[str] = []
        self._token = ""

    async def say(self, text: str) -> None:
        """Say something, in a new thread if there is none yet; it is the user's turn."""
        key = secrets.token_hex(8)
        path, body = request_of(self.thread_id, text)
        record = await self._client.data("POST", path, key=key, json=body)
        self.thread_id = record["thread_id"]
        self.said.append(text)

    async def answered(self) -> None:
        """Follow the thread until it is the user's turn again."""

        async def is_users_turn() -> bool:
            parameters = {"next_token": self._token, "wait": 2}
            path = f"/{self.thread_id}/delta"
            delta = await self._client.data("GET", path, params=parameters)
            self._token = delta["continuation_token"]
            return bool(delta["status"] == "user_turn")

        await until(is_users_turn, what=f"the answer in {self.thread_id}, sent: {self.said}")


class Load:
    """Conversations that go on until the block ends; `turns` counts what was answered."""

    def __init__(self, client: Client, number: int) -> None:
        self.conversations = [Conversation(client) for _ in range(number)]
        self.turns = 0
        self._stop = asyncio.Event()

    async def talk(self, conversation: Conversation) -> None:
        while not self._stop.is_set():
            await conversation.say(secrets.token_hex(8))
            await conversation.answered()
            self.turns += 1

    async def more(self, turns: int) -> None:
        """Wait for so many more turns."""
        wanted = self.turns + turns

        async def are_there() -> bool:
            return self.turns >= wanted

        await until(are_there, what=f"{turns} more turns")

    @property
    def admitted(self) -> int:
        """How many messages were acknowledged."""
        return sum(len(conversation.said) for conversation in self.conversations)

    def stop(self) -> None:
        self._stop.set()


@asynccontextmanager
async def load(client: Client, conversations: int = 6) -> AsyncIterator[Load]:
    """Conversations while the block lasts; at its end each comes to the end of its turn."""
    made = Load(client, conversations)
    async with asyncio.TaskGroup() as tasks:
        for conversation in made.conversations:
            tasks.create_task(made.talk(conversation))
        yield made
        made.stop()

"""Clients as they are: patient or not, slow or not; each request is repeated until it is answered.

A repeated request has the key of the first one. What a client gets to know goes into the history.
"""

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import orjson

from tests.chaos.history import History, Try, fault_of
from tests.faults.load import says_try_again

PATIENCE = 30.0  # for one answer; nothing of ours may take so long
_PAUSE = 0.15


class ChaosClient:
    """Sends requests to the APIs in turn.

    Args:
        http: with the key of the org.
        base_urls: of the APIs.
        history: where everything is noted.
        seed: decides who is impatient or slow, and when.
    """

    def __init__(
        self, http: httpx.AsyncClient, base_urls: Sequence[str], history: History, seed: str
    ) -> None:
        self.http = http
        self._base_urls = base_urls
        self._random = random.Random(seed)
        self.history = history
        self.is_closing = asyncio.Event()

    async def ask(
        self, method: str, path: str, *, key: str | None = None, wait: float = 0.0, **arguments: Any
    ) -> httpx.Response | None:
        """The answer that comes in the end; None if the run ended before there was one."""
        number = self._random.randrange(len(self._base_urls))
        while True:
            number += 1
            response = await self._try(number, method, path, key, wait, **arguments)
            if response is not None and not says_try_again(response):
                return response
            if self.is_closing.is_set():
                return None
            await asyncio.sleep(_PAUSE * self._random.uniform(0.5, 2.0))

    async def _try(
        self,
        number: int,
        method: str,
        path: str,
        key: str | None,
        wait: float,
        *,
        json: Any = None,
        params: dict[str, Any] | None = None,
    ) -> httpx.Response | None:
        api = number % len(self._base_urls)
        headers = {"Idempotency-Key": key} if key else {}
        is_impatient = self._random.random() < 0.05
        timeout = self._random.uniform(0.02, 1.0) if is_impatient else PATIENCE + wait
        content: bytes | AsyncIterator[bytes] | None = None
        if json is not None:
            headers["Content-Type"] = "application/json"
            content = orjson.dumps(json)
            if self._random.random() < 0.05:
                content = _in_pieces(content)
        is_poll = isinstance(json, dict) and json.get("event") == "poll"
        done = Try(api, f"{method} {path}", time.time(), waits=bool(wait) or is_poll)
        self.history.tries.append(done)
        try:
            response = await self.http.request(
                method,
                self._base_urls[api] + path,
                headers=headers,
                content=content,
                params=(params or {}) | ({"wait": wait} if wait else {}),
                timeout=timeout,
            )
        except httpx.TimeoutException:
            done.given_up = is_impatient
            if not is_impatient:
                done.fault = "no answer"
            return None
        except httpx.TransportError:
            return None
        finally:
            done.ended = time.time()
        done.status = response.status_code
        done.fault = _fault(response)
        return response

    def new_key(self) -> str:
        """An idempotency key."""
        return secrets.token_hex(8)


def new_token() -> str:
    """A word that nobody else says."""
    return f"tok{secrets.token_hex(6)}"


async def _in_pieces(content: bytes) -> AsyncIterator[bytes]:
    step = max(1, len(content) // 4)
    for start in range(0, len(content), step):
        yield content[start : start + step]
        await asyncio.sleep(0.2)


def _fault(response: httpx.Response) -> str:
    try:
        body: object = response.json()
    except ValueError:
        body = None
    content_type = response.headers.get("content-type", "")
    fault = fault_of(response.status_code, content_type, body, response.headers.get("retry-after"))
    return f"{fault}: {response.text[:300]}" if fault else ""

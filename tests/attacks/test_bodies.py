"""A body costs nothing without a key that may have it read, and little with one."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel

from app.access.caller import KeyScope
from app.api.deps import CallerDep
from app.api.http.route import ApiRoute
from app.kit.storable import NotStorableError, check_values
from app.main import create_app
from app.settings import Settings
from tests.support.http import NewKey, Serve

JSON = {"content-type": "application/json"}
THREADS = "/v1/ai/threads"
SMALL = f"{THREADS}/search"
LIMIT = 65_536


class Pieces(httpx.AsyncByteStream):
    """A body that comes in pieces, and counts those that were taken."""

    def __init__(self, piece: bytes, most: int = 200) -> None:
        self._piece = piece
        self._most = most
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self._most):
            self.taken += 1
            yield self._piece


def post(url: str, body: Pieces, **headers: str) -> httpx.Request:
    return httpx.Request("POST", f"http://test{url}", headers=JSON | headers, stream=body)


@pytest.mark.parametrize(
    ("url", "status"),
    [
        (THREADS, 401),
        ("/api/v1/cli/apply/", 401),
        ("/v1/ai/chat/event", 401),
        ("/nowhere", 404),
        ("/health/live", 405),
    ],
)
async def test_without_a_key_no_body_is_read(
    anonymous: httpx.AsyncClient, url: str, status: int
) -> None:
    for authorization in ("", "Bearer x", f"Bearer swk_{'x' * 64}"):
        body = Pieces(b"[],")
        answer = await anonymous.send(post(url, body, authorization=authorization))
        assert answer.status_code == status
        assert body.taken == 0


async def test_health_reads_no_body(anonymous: httpx.AsyncClient) -> None:
    body = Pieces(b"[],")
    request = httpx.Request("GET", "http://test/health/live", stream=body)
    assert (await anonymous.send(request)).status_code == 200
    assert body.taken == 0


async def test_a_key_that_may_not_write_has_no_body_read(
    anonymous: httpx.AsyncClient, new_key: NewKey
) -> None:
    key = await new_key(scopes=[KeyScope.READ])
    body = Pieces(b"[],")
    request = post(THREADS, body, authorization=f"Bearer {key.api_key}")
    assert (await anonymous.send(request)).status_code == 403
    assert body.taken == 0


async def test_what_says_that_it_is_too_large_is_not_read(client: httpx.AsyncClient) -> None:
    body = Pieces(b"x")
    length = {"content-length": str(LIMIT + 1), "authorization": client.headers["authorization"]}
    answer = await client.send(post(SMALL, body, **length))
    assert answer.status_code == 413
    assert str(LIMIT) in answer.json()["detail"]
    assert body.taken == 0


async def test_what_does_not_say_how_large_it_is_is_cut(client: httpx.AsyncClient) -> None:
    body = Pieces(b" " * 10_000)
    request = post(SMALL, body, authorization=client.headers["authorization"])
    assert (await client.send(request)).status_code == 413
    assert body.taken <= LIMIT // 10_000 + 1


async def test_a_route_takes_as_much_as_it_says(client: httpx.AsyncClient) -> None:
    said = {"messages": [{"role": "user", "content": [{"text": "x" * 900_000}]}]}
    assert (await client.post(THREADS, json=said)).status_code == 201
    assert (await client.post(SMALL, json={"text": "x" * LIMIT})).status_code == 413


TEXT = {"role": "user", "content": [{"text": ""}]}
# What each took of the event loop before, in seconds, and how it is answered.
COSTLY: dict[str, tuple[Callable[[], bytes], int]] = {
    "empty lists": (lambda: b"[" + b"[]," * 300_000 + b"[]]", 400),
    "a text with commas": (lambda: json.dumps({"messages": [], "x": ", " * 500_000}).encode(), 400),
    "digits": (lambda: json.dumps({"messages": [], "x": "123456789 " * 100_000}).encode(), 400),
    "any JSON": (
        lambda: json.dumps(
            {"messages": [TEXT], "client_context": {"misc_context": {"a": [[]] * 200_000}}}
        ).encode(),
        400,
    ),
    "unknown fields": (
        lambda: json.dumps(
            {"messages": [TEXT]} | {f"unknown {n}": n for n in range(15_000)}
        ).encode(),
        400,
    ),
}


@pytest.mark.parametrize("case", COSTLY)
async def test_a_costly_body_does_not_hold_up_others(client: httpx.AsyncClient, case: str) -> None:
    make, status = COSTLY[case]
    body = make()
    seconds = []
    for _ in range(3):
        started = time.thread_time()
        answer = await client.post(THREADS, content=body, headers=JSON)
        seconds.append(time.thread_time() - started)
        assert answer.status_code == status, answer.text[:200]
    assert len(answer.content) < 100_000
    assert min(seconds) < 0.1  # with the client's own share, which is in this thread too


class Seen(BaseModel):
    """Keeps, for its list, the thread that it is made in."""

    thread: Annotated[list[int], AfterValidator(lambda _: [threading.get_ident()])]


async def test_a_large_body_is_made_beside_the_event_loop(
    settings: Settings, client: httpx.AsyncClient, serve: Serve
) -> None:
    router = APIRouter(route_class=ApiRoute)

    @router.post("/seen")
    async def seen(caller: CallerDep, body: Seen) -> list[int]:
        return body.thread

    api = create_app(settings)
    api.include_router(router)
    async with serve(api) as served:
        served.headers["Authorization"] = client.headers["Authorization"]
        small, large = [await served.post("/seen", json={"thread": [0] * n}) for n in (1, 5_000)]
    assert small.json() == [threading.get_ident()]
    assert large.json() != small.json()


async def test_a_list_of_faults_is_bounded(client: httpx.AsyncClient) -> None:
    body = {"messages": [TEXT]} | {f"{n} {'x' * 1_000}": n for n in range(2_000)}
    answer = await client.post(THREADS, json=body)
    problem = answer.json()
    assert answer.status_code == 400
    assert len(problem["errors"]) == 100
    assert "1999 more" in problem["detail"]
    assert len(answer.content) < 70_000


async def test_large_bodies_of_an_org_are_read_one_at_a_time(
    client: httpx.AsyncClient, new_key: NewKey
) -> None:
    other = await new_key(org="Other", user="o@other.example")
    large: dict[str, Any] = {"messages": [TEXT], "x": [0] * 15_000}
    many = [asyncio.create_task(client.post(THREADS, json=large)) for _ in range(20)]
    await asyncio.sleep(0)
    key = {"authorization": f"Bearer {other.api_key}"}
    assert (await client.post(THREADS, json=large, headers=key)).status_code == 400
    assert sum(one.done() for one in many) < 15
    assert {answer.status_code for answer in await asyncio.gather(*many)} == {400}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('ab,[]{}":\\'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text('a,[{"\\'), inner),
)


def count(value: Any) -> int:
    """The values of a JSON value; of empty objects and lists two."""
    inner = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(inner, list):
        return 1
    return 1 + (sum(map(count, inner)) if inner else 1)


@given(value=json_values)
def test_values_are_counted_before_they_are_parsed(value: Any) -> None:
    text, values = json.dumps(value).encode(), count(value)
    check_values(text, values)
    with pytest.raises(NotStorableError, match="more than"):
        check_values(text, values - 1)

"""What a request may carry."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from hypothesis import given
from hypothesis import strategies as st

from app.api.deps import CallerDep
from app.api.http.body import parse_body
from app.api.http.route import ApiRoute
from app.errors import BadRequestError
from app.kit.storable import MAX_DEPTH
from app.main import create_app
from app.settings import Settings
from tests.support.storable import storable

LIMIT = 5_000


@pytest.fixture
def api(settings: Settings) -> FastAPI:
    """The application, with an endpoint that gives back what it got."""
    small = settings.api.model_copy(update={"max_body_bytes": LIMIT, "body_seconds": 0.5})
    app = create_app(settings.model_copy(update={"api": small}))
    router = APIRouter(route_class=ApiRoute)

    @router.post("/echo-json")
    async def echo_json(caller: CallerDep, body: dict[str, Any] | list[Any] | str) -> Any:
        return body

    @router.get("/items/{item}")
    async def item(item: str, q: str = "") -> str:
        return item + q

    app.include_router(router)
    return app


JSON = {"content-type": "application/json"}


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nope",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'"\\ud800"',
        b'"\\u0000"',
        b'{"a\\u0000": 1}',
        b'[{"a": ["b\\u0000"]}]',
        b'"a\x00b"',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b"\xff\xfe[\x00]\x00",
        b"[18446744073709551616]",
        b"[-9223372036854775809]",
        b"[" + b"9" * 4_900 + b"]",
        nested(MAX_DEPTH + 1),
        nested(2_000),
        b"[" * 4_000,
        b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1),
    ],
)
async def test_what_is_not_storable_json_is_a_400(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/echo-json", content=body, headers=JSON)

    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["loc"] == ["body"]


@pytest.mark.parametrize(
    "body",
    [
        b"[18446744073709551615, -9223372036854775808]",
        b'["\\\\u0000 is how NUL is written", "1234567890123456789012345678901234567890"]',
        b'["\\ud83d\\ude00", 1.5e300, "\\u0001"]',
        nested(MAX_DEPTH),
        b"[" + b"[]," * 1_000 + b"[]]",
    ],
)
async def test_odd_but_sound_json_arrives_unchanged(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/echo-json", content=body, headers=JSON)

    assert answer.status_code == 200, answer.text
    assert answer.json() == json.loads(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@given(value=json_values, ascii_only=st.booleans())
def test_only_what_can_be_stored_passes(value: Any, ascii_only: bool) -> None:
    """Whatever Python sends: it passes if, and only if, it could be stored as jsonb."""
    body = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    try:
        parse_body(body, 10_000)
    except BadRequestError:
        assert not storable(value)
    else:
        assert storable(value)


async def test_a_body_over_the_limit_is_a_413(client: httpx.AsyncClient) -> None:
    fits = await client.post("/echo-json", json="x" * (LIMIT - 2))
    over = await client.post("/echo-json", json="x" * (LIMIT - 1))

    assert fits.status_code == 200
    assert over.status_code == 413
    assert over.json()["type"] == "urn:statewright:problem:too-large"


async def test_a_body_of_unknown_length_is_counted(client: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1_000
            yield b" " * 1_000

    answer = await client.post("/echo-json", content=endless(), headers=JSON)

    assert answer.status_code == 413
    assert sent <= LIMIT + 1_000


async def test_chunks_arrive_as_one_body(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for part in (b"[1,", b"", b"2", b"]"):
            yield part

    assert (await client.post("/echo-json", content=chunks(), headers=JSON)).json() == [1, 2]


async def stalled() -> AsyncIterator[bytes]:
    """A body of which only the beginning comes."""
    yield b"[1,"
    await asyncio.sleep(60)
    yield b"2]"


async def test_a_body_that_does_not_come_is_a_408(client: httpx.AsyncClient) -> None:
    answer = await client.post("/echo-json", content=stalled(), headers=JSON)

    assert answer.status_code == 408
    assert answer.json()["type"] == "urn:statewright:problem:request-timeout"
    assert "0.5 seconds" in answer.json()["detail"]


async def test_a_body_that_does_not_come_holds_up_no_stop(
    api: FastAPI, client: httpx.AsyncClient
) -> None:
    asked = asyncio.create_task(client.post("/echo-json", content=stalled(), headers=JSON))
    await asyncio.sleep(0.1)
    api.state.body_reads.end()

    answer = await asked
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["type"] == "urn:statewright:problem:stopping"


async def test_manifests_are_bounded_but_not_read(client: httpx.AsyncClient) -> None:
    # It is no JSON, whatever its type says: what refuses it is that it is no document.
    yaml = await client.post("/api/v1/cli/apply/", content=b"kind: Agent", headers=JSON)
    huge = await client.post("/api/v1/cli/apply/", content=b"x" * (LIMIT + 1), headers=JSON)

    assert yaml.status_code == 400
    assert "apiVersion" in yaml.json()["detail"]
    assert huge.status_code == 413


@pytest.mark.parametrize(
    ("url", "place"), [("/items/a%00b", "path"), ("/items/a?q=%00", "query"), ("/%00", "path")]
)
async def test_nul_in_the_url_is_a_400(client: httpx.AsyncClient, url: str, place: str) -> None:
    answer = await client.get(url)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["loc"] == [place]


async def test_an_escaped_percent_sign_is_no_nul(client: httpx.AsyncClient) -> None:
    assert (await client.get("/items/a?q=%2500")).json() == "a%00"

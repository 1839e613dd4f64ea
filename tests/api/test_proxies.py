"""The API behind a proxy and in the pages of other origins: prefixes, redirects, methods, CORS."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import yaml
from fastapi import FastAPI

from app.main import create_app
from app.settings import Settings
from tests.support.manifests import manifest

PREFIXES = ["/agents", "/api", "/v1", "/api/v1", "/a/b.c"]


@asynccontextmanager
async def served(
    settings: Settings,
    *,
    scope_prefix: str = "",
    openapi: Callable[[], dict[str, Any]] | None = None,
    **changes: Any,
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API with other settings, or with the prefix that the server says."""
    api = settings.api.model_copy(update=changes)
    app = create_app(settings.model_copy(update={"api": api}))
    app.openapi = openapi or app.openapi
    transport = httpx.ASGITransport(app, root_path=scope_prefix)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_the_api_answers_below_a_prefix(
    client: httpx.AsyncClient, settings: Settings, shared_api: FastAPI, prefix: str
) -> None:
    key = {"Authorization": client.headers["Authorization"]}
    document = yaml.safe_dump(manifest("Dataset", "d"))
    # The document is the same at any prefix, and a second's work.
    async with served(settings, openapi=shared_api.openapi, root_path=prefix) as proxied:
        for base in ("", prefix):  # of which the proxy has stripped it, or has not
            applied = await proxied.post(f"{base}/api/v1/cli/apply/", content=document, headers=key)
            agents = await proxied.get(f"{base}/v1/ai/agents", headers=key)
            redirect = await proxied.post(f"{base}/api/v1/cli/apply?x=1", headers=key)
            docs = (await proxied.get(f"{base}/docs")).text
            openapi = (await proxied.get(f"{base}/openapi.json")).json()
            live = await proxied.get(f"{base}/health/live")

            assert applied.status_code == 200, applied.text
            assert agents.status_code == live.status_code == 200
            assert redirect.headers["location"] == f"{prefix}/api/v1/cli/apply/?x=1"
            assert f"'{prefix}/openapi.json'" in docs
            assert openapi["servers"][0] == {"url": prefix}


async def test_a_prefix_that_the_server_says_is_taken_too(settings: Settings) -> None:
    async with served(settings, scope_prefix="/said") as client:
        assert (await client.get("/said/health/live")).status_code == 200
        assert (await client.get("/health/live")).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "[::1]"])
async def test_a_redirect_never_names_a_host(settings: Settings, host: str) -> None:
    async with served(settings) as client:
        answer = await client.get("/health/live/", headers={"Host": host})
        slashes = await client.get("//evil.example/health/live/", headers={"Host": host})
    assert answer.status_code == 307
    assert answer.headers["location"] == "/health/live"
    assert not slashes.headers.get("location", "").startswith(("//", "http"))


@pytest.mark.parametrize("root_path", ["agents", "/agents/", "//x", "/a b", "/a?b"])
def test_a_prefix_that_is_no_path_is_refused_at_start(root_path: str) -> None:
    with pytest.raises(ValueError, match="root_path"):
        Settings(dev=True, api={"root_path": root_path})


async def test_head_is_a_get_without_its_body(client: httpx.AsyncClient) -> None:
    for path in ("/v1/ai/agents", "/health/live", "/openapi.json", "/docs"):
        got, head = await client.get(path), await client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == got.headers["content-length"]
    assert (await client.head("/v1/ai/agents/nope")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/ai/threads", "HEAD, GET, POST"),
        ("PATCH", "/v1/ai/agents", "HEAD, GET, POST"),
        ("GET", "/v1/ai/agents/a/launch", "POST"),
        ("HEAD", "/v1/ai/agents/a/launch", "POST"),
        ("POST", "/health/live", "HEAD, GET"),
    ],
)
async def test_a_refused_method_says_all_that_the_path_takes(
    client: httpx.AsyncClient, method: str, path: str, allowed: str
) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "gzip, identity", " GZIP "])
async def test_a_compressed_body_is_refused(client: httpx.AsyncClient, encoding: str) -> None:
    answer = await client.post(
        "/v1/ai/threads", content=b"x", headers={"Content-Encoding": encoding}
    )
    assert answer.status_code == 415
    assert answer.json()["type"].endswith(":unsupported-media-type")


async def test_pages_of_listed_origins_may_call_the_api(settings: Settings) -> None:
    asked = {
        "Origin": "https://console.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
    }
    async with served(settings, cors_origins=["https://console.example"]) as client:
        preflight = await client.options("/v1/ai/threads", headers=asked)
        other = await client.options(
            "/v1/ai/threads", headers={**asked, "Origin": "https://evil.example"}
        )
        refused = await client.get("/v1/ai/agents", headers={"Origin": asked["Origin"]})
    async with served(settings) as client:
        without = await client.get("/health/live", headers={"Origin": asked["Origin"]})

    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == asked["Origin"]
    assert "idempotency-key" in preflight.headers["access-control-allow-headers"]
    assert "access-control-allow-origin" not in other.headers
    # A page must see why it was refused.
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == asked["Origin"]
    assert "Retry-After" in refused.headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in without.headers

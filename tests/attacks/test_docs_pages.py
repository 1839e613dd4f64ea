"""The pages for people load nothing from elsewhere, and run nothing that is written in them."""

import re
import threading

import httpx
import pytest

from app.api.http.openapi.document import StatewrightApi

PAGES = ["/docs", "/redoc"]


def policy(answer: httpx.Response) -> dict[str, set[str]]:
    written = answer.headers["content-security-policy"]
    return {name: set(values) for name, *values in (part.split() for part in written.split(";"))}


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_allows_nothing_but_this_server(
    anonymous: httpx.AsyncClient, page: str
) -> None:
    answer = await anonymous.get(page)
    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"
    allowed = policy(answer)
    assert allowed["default-src"] == {"'none'"}
    assert allowed["script-src"] == allowed["connect-src"] == {"'self'"}
    assert allowed["frame-ancestors"] == allowed["base-uri"] == {"'none'"}
    assert not any(":" in value and value != "data:" for all_ in allowed.values() for value in all_)


@pytest.mark.parametrize("page", PAGES)
async def test_what_a_page_names_is_here_and_no_script_is_in_it(
    anonymous: httpx.AsyncClient, page: str
) -> None:
    html = (await anonymous.get(page)).text
    named = re.findall(r"""(?:src|href|data-url)=["']([^"']*)["']""", html)
    assert len(named) == 5
    for url in named:
        assert url.startswith("/")
        answer = await anonymous.get(url)
        assert answer.status_code == 200
        assert len(answer.content) > 100
    assert re.findall(r"<script[^>]*>(.*?)</script>", html, re.DOTALL) == ["", ""]
    assert not re.search(r"\son\w+=", html)


@pytest.mark.parametrize("name", ["nothing.js", "__init__.py", "..%2f__init__.py", "%2e%2e", ".."])
async def test_nothing_else_of_the_package_is_given(
    anonymous: httpx.AsyncClient, name: str
) -> None:
    assert (await anonymous.get(f"/docs/{name}")).status_code == 404


async def test_the_document_is_made_beside_the_event_loop() -> None:
    """The first takes a second, and anybody may ask for it."""
    app = StatewrightApi()
    app.openapi = lambda: {"made in": threading.get_ident()}  # type: ignore[method-assign]
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        made_in = (await client.get("/openapi.json")).json()["made in"]
    assert made_in != threading.get_ident()

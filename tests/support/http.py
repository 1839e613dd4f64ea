"""The application over HTTP, in this process, on a real database."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.access.service import CreatedKey, create_key
from app.main import create_app
from app.settings import Settings

NewKey = Callable[..., Awaitable[CreatedKey]]
Serve = Callable[[FastAPI], AbstractAsyncContextManager[httpx.AsyncClient]]


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key, while the application's lifespan runs."""
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client,
    ):
        yield client


@pytest.fixture
def serve() -> Serve:
    """Serves an application that the test has changed."""
    return serving


@pytest.fixture(scope="session")
def shared_api() -> FastAPI:
    """Made once: at its first request an application builds its routes, for a tenth of a second."""
    return create_app(Settings(dev=True))


@pytest.fixture
def api(shared_api: FastAPI, settings: Settings) -> Iterator[FastAPI]:
    """The application, served with the settings of the test, which may add no route to it."""
    routes = len(shared_api.routes)
    shared_api.state.settings = settings
    yield shared_api
    assert len(shared_api.routes) == routes, "the next test has the application, too"


@pytest.fixture
async def anonymous(api: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client that sends no key."""
    async with serving(api) as client:
        yield client


@pytest.fixture
def new_key(api: FastAPI, anonymous: httpx.AsyncClient, settings: Settings) -> NewKey:
    """Makes keys: `await new_key(org=…, user=…, scopes=[…])`."""

    async def make(**arguments: Any) -> CreatedKey:
        arguments = {"org": "Acme", "user": "ann@acme.example", **arguments}
        async with api.state.database.transaction() as db:
            return await create_key(db, settings, **arguments)

    return make


@pytest.fixture
async def client(anonymous: httpx.AsyncClient, new_key: NewKey) -> httpx.AsyncClient:
    """A client with an admin key of the org Acme."""
    key = await new_key()
    anonymous.headers["Authorization"] = f"Bearer {key.api_key}"
    return anonymous

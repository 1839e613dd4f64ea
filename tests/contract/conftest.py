"""The service as its clients meet it: a real server on a real socket, and the published client."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from anyio.from_thread import start_blocking_portal
from fastapi import FastAPI
from roboto.http import BearerTokenDecorator, RobotoClient

from app.access.service import CreatedKey, create_key
from app.api.http.limits.connections import bounded_protocol
from app.db.engine import Database
from app.kit.log import configure_logging
from app.settings import Settings
from app.worker import serving


@dataclass(frozen=True)
class Service:
    """A running service. `settings` are those that it runs with, for a worker beside it."""

    base_url: str
    settings: Settings
    key: CreatedKey

    def new_key(self, **arguments: Any) -> CreatedKey:
        """Make a key: `new_key(org=…, user=…, scopes=[…])`."""
        return new_key(self.settings, **arguments)

    def client(self, api_key: str | None = None) -> RobotoClient:
        """The published client, with nothing changed but endpoint and key."""
        token = self.key.api_key if api_key is None else api_key
        return RobotoClient(endpoint=self.base_url, auth_decorator=BearerTokenDecorator(token))


def new_key(settings: Settings, **arguments: Any) -> CreatedKey:
    async def make() -> CreatedKey:
        named = {"org": "Acme", "user": "ann@acme.example", **arguments}
        async with Database.open(settings.database_url) as database, database.transaction() as db:
            return await create_key(db, settings, **named)

    return asyncio.run(make())


@contextmanager
def running_server(api: FastAPI) -> Iterator[str]:
    """Serve the API on a free port in a thread of its own; yields its base URL."""
    # The socket listens before the thread starts: a client that is early waits, none is refused.
    listener = socket.create_server(("127.0.0.1", 0))
    # Its thread writes a request's line when the test may be over, and pytest captures nothing.
    configure_logging("ERROR")
    server = uvicorn.Server(
        uvicorn.Config(api, log_config=None, http=bounded_protocol(api.state.settings.api))
    )
    thread = threading.Thread(target=server.run, args=([listener],), name="api")
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        listener.close()
        assert not thread.is_alive(), "the server did not stop"


@contextmanager
def running_worker(settings: Settings) -> Iterator[None]:
    """Serve the settings' queues in a thread of its own."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(serving(settings)):
        yield


@pytest.fixture
def service(api: FastAPI, settings: Settings) -> Iterator[Service]:
    """The running service, with an admin key of the org Acme."""
    with running_server(api) as base_url:
        yield Service(base_url, settings, new_key(settings))


@pytest.fixture
def roboto(service: Service) -> RobotoClient:
    """The published client of an admin of Acme."""
    return service.client()

"""A server that repeats whatever it was sent, in every form, and as badly as it is asked to."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tests.support.canaries import echoes
from tests.support.local_server import LocalServer
from tests.support.openai_server import ConnectionCutError

SLOW_SECONDS = 1.5


class EchoServer(LocalServer):
    """`/MODE/…` answers in one of the ways of `_answers`; the first part of the path says which.

    Attributes:
        token: what it gives out as an access token.
        received: how many requests came, by mode.
    """

    def __init__(self, token: str) -> None:
        self.token = token
        self.received: dict[str, int] = {}
        methods = ["GET", "POST", "PUT", "DELETE"]
        super().__init__(Route("/{mode}/{rest:path}", self._answer, methods=methods))

    async def _answer(self, request: Request) -> Response:
        mode = request.path_params["mode"]
        self.received[mode] = self.received.get(mode, 0) + 1
        said = echoes(*_sent(request), (await request.body()).decode())
        if mode == "slow":
            await asyncio.sleep(SLOW_SECONDS)
        return self._answers(mode, said)

    def _answers(self, mode: str, said: str) -> Response:
        body, status, headers = said, 200, {"X-Said": quote(said)[:3_000]}
        match mode:
            case "token":
                body = json.dumps({"access_token": self.token, "expires_in": 60, "said": said})
            case "cut":
                return StreamingResponse(_cut(said))
            case "302":
                status, headers = 302, {"Location": f"/200/{quote(said)[:3_000]}"}
            case "malformed":
                body = '{"choices": [' + said
            case "401" | "500":
                error = {"error": {"message": said, "code": said}, "detail": said}
                body, status = json.dumps(error), int(mode)
        return Response(body, status, headers, "application/json" if body != said else None)


async def _cut(said: str) -> AsyncIterator[str]:
    yield said
    raise ConnectionCutError


def _sent(request: Request) -> list[str]:
    """What may be secret of the headers, also as it was before it was written for them."""
    found: list[str] = []
    for name, value in request.headers.items():
        if name in ("authorization", "x-api-key", "api-key", "x-key"):
            found += [value, value.partition(" ")[2] or value]
        if value.startswith("Basic "):
            pair = base64.b64decode(value[6:]).decode()
            found += [pair, pair.partition(":")[0], pair.partition(":")[2]]
    return found

"""Requests that are carried out once for each idempotency key, and answered the same again.

An endpoint that changes something takes its transaction from `app.api.deps.Changes`, which looks
the key up first; `KeyedRoute` writes the answer in the same transaction. A request without a key
costs nothing.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import override

from app.access.caller import Caller
from app.api.http.route import ApiRoute, Handler
from app.idempotency.answers import Answers, KeptAnswer
from app.idempotency.request import KeyedRequest, request_hash


class AnsweredBeforeError(Exception):
    """Ends a request whose key was answered before, by that answer."""

    def __init__(self, answer: KeptAnswer) -> None:
        super().__init__()
        self.answer = answer


@dataclass(frozen=True, slots=True)
class _Keeper:
    """The place that the answer of a request is to be written to."""

    answers: Answers
    db: AsyncSession
    request: KeyedRequest

    async def keep(self, response: Response) -> None:
        text = bytes(response.body).decode()
        await self.answers.keep(self.db, self.request, KeptAnswer(response.status_code, text))


async def keyed_request(request: Request, caller: Caller, key: str) -> KeyedRequest:
    """What a request is known by: all that it asks for, by a key that may do the same.

    The same JSON written otherwise is the same request.
    """
    asked = getattr(request.state, "json_body", None) or _body_value(await request.body())
    hash_ = request_hash(
        request.method,
        request.url.path,
        sorted(parse_qsl(request.url.query, keep_blank_values=True)),
        asked,
        sorted(caller.scopes),
    )
    return KeyedRequest(caller.org_id, caller.user_id, key, hash_)


def _body_value(body: bytes) -> Any:
    """What a body that its endpoint reads itself asks for."""
    try:
        return orjson.loads(body) if body else None
    except orjson.JSONDecodeError:
        return body.decode(errors="replace")


async def begin(
    request: Request, answers: Answers, db: AsyncSession, caller: Caller, key: str
) -> None:
    """Looks a key up in the transaction of its request.

    Raises:
        AnsweredBeforeError: with the answer, where there is one.
        RequestInProgressError: the same key is at work.
        IdempotencyMismatchError: the key came before, with another request.
        AnswerNotKeptError: the request was done, but its answer is not there any more.
    """
    keyed = await keyed_request(request, caller, key)
    if (answer := await answers.find(db, keyed)) is not None:
        raise AnsweredBeforeError(answer)
    request.state.keeper = _Keeper(answers, db, keyed)


class KeyedRoute(ApiRoute):
    """Writes the answers of requests with a key, and gives those that are stored."""

    @override
    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                response = await handler(request)
            except AnsweredBeforeError as before:
                status, text = before.answer.status, before.answer.text
                return Response(text, status, media_type="application/json" if text else None)
            keeper: _Keeper | None = getattr(request.state, "keeper", None)
            if keeper is not None:
                await keeper.keep(response)  # its transaction ends after this
            return response

        return handle

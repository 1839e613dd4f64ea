"""The invoker `http`: sends the content to an HTTP API and gives back the body of the answer."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import httpx2
from typing_extensions import override

from app.invokers.config import read_config
from app.invokers.invoker import (
    FailureKind,
    InvocationContext,
    InvokerError,
    TransientInvokerError,
    UnknownOutcomeError,
)
from app.invokers.tool import MAX_RESULT_CHARS, ServerTool, ToolInvoker, tool_payload
from app.invokers.web.answer_text import answer_text
from app.invokers.web.egress import parse_networks
from app.invokers.web.failure_texts import failure_text
from app.invokers.web.http_client import EncodedAnswerError, failure_kind, guarded_client
from app.invokers.web.http_config import HttpAuth, HttpConfig, HttpMethod, plain
from app.invokers.web.oauth import OauthTokens
from app.invokers.web.request_parts import RequestParts, query_texts, split_query
from app.invokers.web.secret_texts import SecretMask
from app.invokers.web.statuses import status_error
from app.invokers.web.tool_request import BODILESS, ToolRequest, about_headers, tool_request
from app.kit.concurrency.off_loop import LIGHT_BYTES, off_loop
from app.kit.invalid import InvalidValueError
from app.kit.storable import clean_text, text_fault

_MAX_TEXT = 300
_MAX_ERROR = 4_000  # of an answer that is no success, for a model to mend its call by
_MAX_BYTES = 4 * (MAX_RESULT_CHARS + 1)  # of a tool's answer: more than a model is shown
# After these nothing of the request has reached the other side; the first never will.
_NOT_SENDABLE = (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError)
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class HttpInvoker(ToolInvoker):
    """One request for each step, with the step's id as `Idempotency-Key`.

    POST, PUT and PATCH send the content as the body: as JSON if it is JSON, else as plain text.
    GET and DELETE have no body: a JSON object becomes the query.
    """

    name: ClassVar[str | None] = "http"

    def __init__(self, config: HttpConfig) -> None:
        self._config = config
        self._client = guarded_client(config.egress_allow)
        self._tokens = OauthTokens(config, self._client)
        self._masked: tuple[str, ...] = ()
        self._mask = SecretMask(())

    @classmethod
    @override
    def from_config(cls, config: dict[str, Any]) -> Self:
        if "base_url" not in config:
            raise InvalidValueError("invalid invoker config: connection: name an ApiConnection")
        parsed = read_config(HttpConfig, config)
        parse_networks(parsed.egress_allow)
        return cls(parsed)

    @override
    async def invoke(self, content: str, context: InvocationContext) -> str:
        response = await self._send(content, context)
        if response.status_code == httpx2.codes.UNAUTHORIZED and self._tokens.forget():
            response = await self._send(content, context)  # the token was withdrawn early
        await self._refuse_failure(response, context.request)
        text = await _off_loop(self._of_answers().text, self._text(response))
        await context.emit(text)
        return text

    @override
    async def call(
        self, tool: ServerTool, arguments: dict[str, Any], context: InvocationContext
    ) -> str | dict[str, Any] | list[Any] | None:
        asked = tool_request(tool.config, arguments)
        response, body = await self._request(asked, context)
        if response.status_code == httpx2.codes.UNAUTHORIZED and self._tokens.forget():
            response, body = await self._request(asked, context)  # the token was withdrawn early
        text = answer_text(response, body)
        mask = self._of_answers() if response.is_success else self._of_errors(asked.headers)
        masked = await _off_loop(lambda text: _masked(text, mask, body), text)
        if response.is_success:
            return tool_payload(masked, tool.on_large_result)
        clean = clean_text(masked)
        said = f"the API answered {response.status_code}: {clean[:_MAX_ERROR]}"
        raise status_error(said, response.status_code, response.headers)

    @override
    async def close(self) -> None:
        await self._client.aclose()

    async def _send(self, content: str, context: InvocationContext) -> httpx2.Response:
        config, asked = self._config, context.request
        path, query = split_query(asked.path)
        body = _body(config.method, content)
        for name, value in {**body.parameters, **asked.query}.items():
            query += [(name, text) for text in query_texts(value)]
        headers = await self._headers(asked.headers, context)
        if body.content is not None and not any(n.lower() == "content-type" for n in headers):
            headers["Content-Type"] = body.content_type
        try:
            return await self._client.request(
                config.method.value,
                config.url(path),
                params=httpx2.QueryParams(tuple(query)) if query else None,
                content=body.content,
                headers=headers,
                timeout=min(config.timeout, context.timeout),
            )
        except _NOT_SENDABLE:
            raise InvokerError("the request cannot be sent: its address is no URL") from None
        except httpx2.HTTPError as error:
            raise TransientInvokerError(
                f"the API did not answer: {failure_text(error)}", kind=failure_kind(error)
            ) from None

    async def _request(
        self, asked: ToolRequest, context: InvocationContext
    ) -> tuple[httpx2.Response, bytes]:
        """Sends what a tool's call sends; the answer, and as much of its body as is looked at."""
        config, getting_ready = self._config, context.timeout / 2
        try:
            async with asyncio.timeout(getting_ready):
                headers = await self._headers(asked.headers, context)
        except TimeoutError:
            raise TransientInvokerError(
                "the token server did not answer in time", kind=FailureKind.TIMEOUT
            ) from None
        try:
            async with self._client.stream(
                asked.method.value,
                config.url(asked.path),
                params=asked.query or None,
                json=asked.body,
                headers=headers,
                # What was never sent must not look as if it were.
                timeout=httpx2.Timeout(context.timeout, connect=getting_ready),
            ) as response:
                return response, await _beginning(response)
        except _NOT_SENDABLE:
            raise InvokerError("the request cannot be sent: its address is no URL") from None
        except EncodedAnswerError as error:
            raise InvokerError(f"the request was made, but {error}") from None
        except _NOT_SENT as error:
            raise TransientInvokerError(
                f"the API could not be reached: {failure_text(error)}", kind=failure_kind(error)
            ) from None
        except httpx2.HTTPError as error:
            raise UnknownOutcomeError(
                f"the API did not answer: {failure_text(error)}", kind=failure_kind(error)
            ) from None
        except OSError as error:  # of the connection, past the client
            raise UnknownOutcomeError(
                "the API did not answer: the connection broke off", kind=FailureKind.of(error)
            ) from None

    async def _headers(
        self, asked: Mapping[str, str], context: InvocationContext
    ) -> dict[str, str]:
        """Those of a request; the connection's own are not the request's to set."""
        own = {name: plain(value) for name, value in self._config.headers.items()}
        said = {"Idempotency-Key": context.step_id, **about_headers(context.about)}
        fixed = {**said, **own, **await self._authorization()}
        taken = {name.lower() for name in fixed}
        return {n: v for n, v in asked.items() if n.lower() not in taken} | fixed

    async def _authorization(self) -> dict[str, str]:
        config = self._config
        match config.auth_method:
            case HttpAuth.BASIC:
                return {"Authorization": f"Basic {config.basic()}"}
            case HttpAuth.TOKEN:
                return {"Authorization": f"Bearer {plain(config.api_key)}"}
            case HttpAuth.OAUTH:
                return {"Authorization": f"Bearer {await self._tokens.current()}"}
            case HttpAuth.NONE:
                return {}

    async def _refuse_failure(self, response: httpx2.Response, asked: RequestParts) -> None:
        status = response.status_code
        if response.is_success:
            return
        masked = await _off_loop(self._of_errors(asked.headers).text, response.text)
        said = f"the API answered {status}: {clean_text(masked)[:_MAX_TEXT]}"
        raise status_error(said, status, response.headers)

    def _text(self, response: httpx2.Response) -> str:
        if text_fault(response.text) is not None:
            raise InvokerError("the API's answer is no text", kind=FailureKind.ANSWER)
        return response.text

    def _of_answers(self) -> SecretMask:
        """The mask of what the API answers: made anew when there is a new token."""
        secrets = (*self._config.secrets(), *self._tokens.known())
        if secrets != self._masked:
            self._masked, self._mask = secrets, SecretMask(secrets)
        return self._mask

    def _of_errors(self, asked: Mapping[str, str]) -> SecretMask:
        """The mask of what the API says of a failure: no header is repeated."""
        own = map(plain, self._config.headers.values())
        secrets = (*self._config.secrets(), *self._tokens.known(), *own, *asked.values())
        return SecretMask.of_errors(secrets)


async def _off_loop(mask: Callable[[str], str], text: str) -> str:
    """The masked text: a long one is searched for each secret, which takes a while."""
    return await off_loop(lambda: mask(text), heavy=len(text) > LIGHT_BYTES)


def _masked(text: str, mask: SecretMask, body: bytes) -> str:
    """The text of a body, of which the end may be missing: half a secret is left out there."""
    return mask.text(text) if len(body) < _MAX_BYTES else mask.stream().feed(text)


async def _beginning(response: httpx2.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _MAX_BYTES:
            break
    return bytes(body[:_MAX_BYTES])


@dataclass(frozen=True, slots=True)
class _Body:
    """How the content goes out: as a body, or as parameters of the query."""

    content: bytes | None = None
    content_type: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


def _body(method: HttpMethod, content: str) -> _Body:
    given = _json_of(content)
    if method in BODILESS:
        if isinstance(given, dict):
            return _Body(parameters=given)
        if content.strip():
            raise InvokerError(f"{method} has no body: the content must be a JSON object or empty")
        return _Body()
    type_ = "application/json" if given is not None else "text/plain; charset=utf-8"
    return _Body(content.encode(), type_)


def _json_of(content: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None

"""Tokens of OAuth 2.0 client credentials, asked for once and kept until shortly before the end."""

import asyncio
import math
from collections import deque
from typing import Any

import httpx2

from app.invokers.invoker import InvokerError, TransientInvokerError
from app.invokers.web.failure_texts import failure_text
from app.invokers.web.http_client import failure_kind
from app.invokers.web.http_config import HttpConfig, plain
from app.invokers.web.statuses import status_error
from app.kit.credential import is_sendable
from app.kit.storable import load_json

_EARLY_SECONDS = 30.0
_DEFAULT_SECONDS = 300.0
_MAX_SECONDS = 10 * 365 * 86_400.0
_MAX_DIGITS = 12
_MAX_TOKEN = 16_000  # characters: more than servers take in a header
_MAX_BYTES = 64_000  # of the whole answer
_REMEMBERED = 4  # tokens that calls which still run may have been sent with


class OauthTokens:
    """The token of one connection."""

    def __init__(self, config: HttpConfig, client: httpx2.AsyncClient) -> None:
        self._config = config
        self._client = client
        self._token: str | None = None
        self._given: deque[str] = deque(maxlen=_REMEMBERED)
        self._until = 0.0
        self._asking = asyncio.Lock()

    async def current(self) -> str:
        """A token that is valid for now.

        Raises:
            TransientInvokerError: the token server does not answer.
            InvokerError: it gave none.
        """
        async with self._asking:
            now = asyncio.get_running_loop().time()
            if self._token is None or now >= self._until:
                self._token, seconds = await self._ask()
                self._given.append(self._token)
                self._until = now + max(seconds - _EARLY_SECONDS, 1.0)
            return self._token

    def forget(self) -> bool:
        """Asks anew next time. False: there was none to forget."""
        had, self._token = self._token is not None, None
        return had

    def known(self) -> list[str]:
        """What must not be repeated in any text."""
        return list(self._given)

    async def _ask(self) -> tuple[str, float]:
        config = self._config
        if config.token_url is None:
            raise InvokerError("the connection names no token server")
        form = {"grant_type": "client_credentials"}
        if config.scope:
            form["scope"] = config.scope
        pair = (plain(config.username), plain(config.password))
        try:
            answer = await self._client.post(
                config.token_url, data=form, auth=pair, timeout=config.timeout
            )
        except httpx2.HTTPError as error:
            raise TransientInvokerError(
                f"the token server did not answer: {failure_text(error)}", kind=failure_kind(error)
            ) from None
        if not answer.is_success:
            text = f"the token server answered {answer.status_code}"
            raise status_error(text, answer.status_code, answer.headers)
        return _read(answer)


def _read(answer: httpx2.Response) -> tuple[str, float]:
    if len(answer.content) > _MAX_BYTES:
        raise InvokerError("the token server's answer is too large")
    try:
        body: Any = load_json(answer.content)
        token, given = body["access_token"], body.get("expires_in")
    except (ValueError, TypeError, KeyError, AttributeError):
        raise InvokerError("the token server gave no token") from None
    if not isinstance(token, str) or not is_sendable(token) or len(token) > _MAX_TOKEN:
        raise InvokerError("the token server gave no token that can be sent")
    seconds = _DEFAULT_SECONDS if given is None else _seconds(given)
    if seconds is None or not 0 < seconds <= _MAX_SECONDS:
        raise InvokerError("the token server gave a token without a time that it is valid for")
    return token, seconds


def _seconds(given: object) -> float | None:
    """A number, which some servers write as a text."""
    if (
        isinstance(given, str)
        and len(given) <= _MAX_DIGITS
        and given.isascii()
        and given.isdecimal()
    ):
        return float(given)
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    return float(given) if math.isfinite(given) else None

"""Tokens of OAuth 2.0 client credentials, asked for once and kept until shortly before the end."""

import asyncio
from typing import Any

import httpx2

from app.invokers.invoker import InvokerError, TransientInvokerError
from app.invokers.web.http_client import failure_kind
from app.invokers.web.http_config import HttpConfig, plain
from app.invokers.web.statuses import status_error

_EARLY_SECONDS = 30.0
_DEFAULT_SECONDS = 300.0


class OauthTokens:
    """The token of one connection."""

    def __init__(self, config: HttpConfig, client: httpx2.AsyncClient) -> None:
        self._config = config
        self._client = client
        self._token: str | None = None
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
                self._until = now + max(seconds - _EARLY_SECONDS, 1.0)
            return self._token

    def forget(self) -> bool:
        """Asks anew next time. False: there was none to forget."""
        had, self._token = self._token is not None, None
        return had

    def known(self) -> list[str]:
        """What must not be repeated in any text."""
        return [self._token] if self._token else []

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
                f"the token server did not answer: {type(error).__name__}", kind=failure_kind(error)
            ) from None
        if not answer.is_success:
            text = f"the token server answered {answer.status_code}"
            raise status_error(text, answer.status_code, answer.headers)
        return _read(answer)


def _read(answer: httpx2.Response) -> tuple[str, float]:
    try:
        body: Any = answer.json()
        token, seconds = body["access_token"], float(body.get("expires_in", _DEFAULT_SECONDS))
    except (ValueError, TypeError, KeyError, OverflowError):
        raise InvokerError("the token server gave no token") from None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise InvokerError("the token server gave no token that can be sent")
    return token, seconds

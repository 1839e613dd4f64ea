"""The HTTP client of the commands: one POST for each verb, and errors in words."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from app.cli.failures import CommandError
from app.cli.profile import Profile, find_profile, is_loopback
from app.errors import error_line
from app.kit.certificates import certificates_for
from app.settings.client import ClientSettings

_SECONDS = 60.0
_CONNECT_SECONDS = 10.0
_Values = Mapping[str, str | int | bool | Sequence[str]]


class ServiceError(CommandError):
    """The service refused.

    Attributes:
        status: the HTTP status.
        detail: what the service says.
        faults: each fault of a bad input, as `{loc, msg}`.
    """

    def __init__(self, status: int, detail: str, faults: list[dict[str, Any]]) -> None:
        super().__init__("\n".join([detail, *_lines(faults)]))
        self.status = status
        self.detail = detail
        self.faults = faults


class Client:
    """Speaks to one service; `ask` gives the answer of a verb."""

    def __init__(self, profile: Profile, *, seconds: float = _SECONDS) -> None:
        headers = {"Accept": "application/json"}
        if profile.api_key is not None:
            headers["Authorization"] = f"Token {profile.api_key.get_secret_value()}"
        self._url = profile.url
        self._http = httpx.Client(
            base_url=f"{profile.url}/api/v1/cli/",
            headers=headers,
            verify=certificates_for(profile.url),
            timeout=httpx.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS)),
            trust_env=not is_loopback(profile.url),  # no proxy on the way to this machine
        )

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def ask(
        self,
        *path: str,
        query: _Values | None = None,
        json: Any = None,
        seconds: float | None = None,
    ) -> dict[str, Any]:
        """Carries out a verb.

        Args:
            path: the verb, and what it is about.
            query: its parameters.
            json: its body.
            seconds: how long it may take, if longer than usual.

        Returns:
            The answer: `data`, `message`, `thing`, `metadata`.

        Raises:
            ServiceError: the service refused.
            CommandError: it cannot be reached, or it is another service.
        """
        address = "/".join(quote(part, safe="") for part in path) + "/"
        return self._read(self._send("POST", address, params=query, json=json, seconds=seconds))

    def read(self, path: str, *, query: _Values | None = None) -> dict[str, Any]:
        """Reads what is no verb's, at a path from the root of the service; errors as of `ask`."""
        return self._read(self._send("GET", f"{self._url}/{path}", params=query))

    def write(self, path: str, json: Any) -> dict[str, Any]:
        """Sends what is no verb's body, to a path from the root of the service."""
        return self._read(self._send("POST", f"{self._url}/{path}", json=json))

    def _send(
        self, method: str, address: str, *, seconds: float | None = None, **request: Any
    ) -> httpx.Response:
        timeout = httpx.USE_CLIENT_DEFAULT if seconds is None else httpx.Timeout(seconds)
        try:
            return self._http.request(method, address, timeout=timeout, **request)
        except httpx.TimeoutException:
            raise CommandError(f"{self._url} did not answer in time.") from None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            reason = error_line(error) or type(error).__name__
            raise CommandError(f"{self._url} cannot be reached: {reason}") from None

    def _read(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            document = answer.json()
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise CommandError(f"{self._url} answered {answer.status_code}; is it Statewright?")
        if answer.is_success and "data" in document:
            return document
        detail = document.get("detail") or f"{self._url} answered {answer.status_code}."
        if isinstance(error := document.get("error"), str):
            detail = f"{detail} {error}"
        if session_id := document.get("session_id"):
            detail = f"{detail} (session {session_id})"
        faults = document.get("errors")
        raise ServiceError(
            answer.status_code, str(detail), faults if isinstance(faults, list) else []
        )


@contextmanager
def open_client(*, seconds: float = _SECONDS) -> Iterator[Client]:
    """A client of the service that environment, profile file or `dev` name.

    Raises:
        CommandError: no service is named.
    """
    try:
        settings = ClientSettings()
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        raise CommandError(f"{fault['loc'][0]}: {fault['msg']}") from None
    client = Client(find_profile(settings), seconds=seconds)
    try:
        yield client
    finally:
        client.close()


def _lines(faults: list[dict[str, Any]]) -> list[str]:
    """A line for each of several faults; a single one is in the detail."""
    if len(faults) < 2:  # noqa: PLR2004
        return []
    return [
        f"  {'.'.join(str(part) for part in fault.get('loc', []))}: {fault.get('msg')}"
        for fault in faults
    ]

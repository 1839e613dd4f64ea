"""The host and port that a URL leads to, as the client that sends reads it."""

import re

import httpx2

from app.kit.invalid import InvalidValueError

_PORTS = {"http": 80, "https": 443}
_WRITTEN = re.compile(r"(\[[0-9a-fA-F:.]{2,45}\]|[^\s/@?#\\:\[\]]{1,253})(:[0-9]{1,5})?")
_MAX_PORT = 65_535


def host_of(url: str) -> str:
    """The host of a URL with its port, such as `api.example.com:443`.

    Raises:
        InvalidValueError: it is no URL of a server.
    """
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        raise InvalidValueError("is no URL") from None
    port = parsed.port or _PORTS.get(parsed.scheme)
    if not parsed.raw_host or port is None:
        raise InvalidValueError("must be an http or https URL")
    return f"{_bracketed(parsed)}:{port}"


def check_host(text: str) -> str:
    """A host as it is compared: `api.example.com` for any port, or with one.

    Raises:
        InvalidValueError: it is none.
    """
    written = _WRITTEN.fullmatch(text)
    if written is None:
        raise InvalidValueError("is no host, such as api.example.com or api.example.com:8443")
    name, port = written.groups(default="")
    if "*" in name:
        raise InvalidValueError("must be one host: there are no patterns")
    try:
        host = _bracketed(httpx2.URL(f"https://{name}"))
    except httpx2.InvalidURL:
        raise InvalidValueError("is no host") from None
    if port and not 0 < int(port[1:]) <= _MAX_PORT:
        raise InvalidValueError("has a port that there is not")
    return f"{host}:{int(port[1:])}" if port else host


def is_host(host: str, allowed: str) -> bool:
    """Whether what `host_of` gives is what `check_host` gave."""
    return allowed in (host, host.rpartition(":")[0])


def _bracketed(url: httpx2.URL) -> str:
    name = url.raw_host.decode("ascii").lower().rstrip(".")
    return f"[{name}]" if ":" in name else name

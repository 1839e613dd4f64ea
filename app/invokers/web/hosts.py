"""The scheme, host and port that a URL leads to, as the client that sends reads it.

What goes over TLS is named by its host alone; `http://` stands before what goes in the clear.
"""

import re

import httpx2

from app.kit.invalid import InvalidValueError

_PORTS = {"http": 80, "https": 443}
_CLEAR = "http://"
_WRITTEN = re.compile(r"(\[[0-9a-fA-F:.]{2,45}\]|[^\s/@?#\\:\[\]]{1,253})(:[0-9]{1,5})?")
# As every reader of URLs reads it: no escapes, no backslashes.
_HOST = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")
_MAX_PORT = 65_535


def host_of(url: str) -> str:
    """The host of a URL with its port: `api.example.com:443`, or `http://api.example.com:80`.

    Raises:
        InvalidValueError: it is no URL of a server.
    """
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        raise InvalidValueError("is no URL") from None
    port = parsed.port or _PORTS.get(parsed.scheme)
    if not parsed.raw_host or port is None or parsed.scheme not in _PORTS:
        raise InvalidValueError("must be an http or https URL")
    clear = _CLEAR if parsed.scheme == "http" else ""
    return f"{clear}{_bracketed(parsed)}:{port}"


def check_server(url: str) -> str:
    """Requires the URL of an HTTP server, which is left as it is: what is judged is what is sent.

    Raises:
        InvalidValueError: it is no such URL.
    """
    host_of(url)
    return url


def check_host(text: str) -> str:
    """A host as it is compared: `api.example.com` for any port, or with one; over TLS.

    With `http://` before it, it is one that is sent to in the clear.

    Raises:
        InvalidValueError: it is none.
    """
    clear = _CLEAR if text.startswith(_CLEAR) else ""
    written = _WRITTEN.fullmatch(text.removeprefix(clear))
    if written is None:
        raise InvalidValueError(
            "is no host, such as api.example.com or api.example.com:8443 for https, or "
            "http://api.example.com"
        )
    name, port = written.groups(default="")
    if "*" in name:
        raise InvalidValueError("must be one host: there are no patterns")
    try:
        host = clear + _bracketed(httpx2.URL(f"https://{name}"))
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
    host = f"[{name}]" if ":" in name else name
    if not _HOST.fullmatch(host):
        raise InvalidValueError("is no host")
    return host

"""The config of `http`: what a template says of a request, and the connection that it goes over."""

import base64
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Self, TypeAlias

from pydantic import AfterValidator, Field, SecretStr, model_validator

from app.invokers.config import InvokerConfig
from app.invokers.web.hosts import check_server
from app.kit.invalid import InvalidValueError

# What a header is called that says who sends a request.
CREDENTIAL = re.compile(r"authorization|cookie|token|secret|key|password|credential", re.IGNORECASE)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# One that is not closed goes to the end: to look for the end of each anew would take for ever.
_EXPRESSION = re.compile(r"\{\{.*?(?:(\}\})|\Z)", re.DOTALL)
_Text = Annotated[str, Field(max_length=8_000)]
# The client makes these itself; another value would break the request or pass for another one.
_OWN_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"}
)


# Texts are shown; a header of a credential is secret even so.
HeaderValue: TypeAlias = str | SecretStr


class HttpMethod(StrEnum):
    """What a request does."""

    GET = "GET"
    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    DELETE = "DELETE"


class HttpAuth(StrEnum):
    """How a request says who sends it."""

    NONE = "none"
    BASIC = "basic"
    TOKEN = "token"  # noqa: S105 - the name of a method
    OAUTH = "oauth"


def plain(secret: HeaderValue | None) -> str:
    """The secret itself; none is empty."""
    return secret.get_secret_value() if isinstance(secret, SecretStr) else secret or ""


def secret_headers(headers: Mapping[str, HeaderValue]) -> list[str]:
    """The values of headers that must not be repeated in any text."""
    return [
        plain(value)
        for name, value in headers.items()
        if isinstance(value, SecretStr) or CREDENTIAL.search(name)
    ]


def check_header(name: str, value: str) -> None:
    """Refuses a header that cannot be sent, or that the client makes itself.

    Raises:
        InvalidValueError: says why; the value, which may be a secret, is not in it.
    """
    if not _HEADER_NAME.fullmatch(name):
        raise InvalidValueError("a header's name has letters, digits and dashes")
    if name.lower() in _OWN_HEADERS:
        raise InvalidValueError(f"the header {name} is not yours to set")
    if not all(char == "\t" or " " <= char <= "~" for char in value):
        raise InvalidValueError(f"the value of header {name} must be printable ASCII")


def check_path(path: str) -> str:
    """Checks that a path leads only down from the base URL: never to another host, never up."""
    if any(ord(char) <= ord(" ") or char in "\\#" for char in path):
        raise InvalidValueError("must not hold spaces, control characters, backslashes or #")
    plain = path.partition("?")[0].lower().replace("%2e", ".").replace("%2f", "/")
    if {".", ".."} & set(plain.replace("%5c", "/").split("/")):
        raise InvalidValueError("must not hold . or .. segments")
    return path


def _without_expressions(text: str) -> str:
    return _EXPRESSION.sub(lambda found: "x" if found[1] else found[0], text)


def _check_path(path: str) -> str:
    """Checks what is written; the data that goes into it is encoded when it is sent."""
    check_path(_without_expressions(path))
    return path


def _check_base(url: str) -> str:
    if "?" in url:
        raise InvalidValueError("must be an http or https URL without a query")
    return check_server(url)


class RequestConfig(InvokerConfig):
    """What of a request is a template: `path`, and the texts in `query` and `headers`."""

    path: Annotated[str, Field(max_length=2_000), AfterValidator(_check_path)] = ""
    query: dict[str, _Text | int | float | bool] = Field({}, max_length=100)
    headers: dict[str, _Text] = Field({}, max_length=100)

    @model_validator(mode="after")
    def _sendable(self) -> Self:
        for name, value in self.headers.items():
            check_header(name, _without_expressions(value))
        return self


class HttpConfig(InvokerConfig):
    """A connection, and the method of the requests that go over it.

    Templates of manifests set `connection` (by name) and `method` beside a `RequestConfig`; the
    resolver puts the ApiConnection's members in the place of its name.
    """

    base_url: Annotated[str, Field(max_length=2_000), AfterValidator(_check_base)]
    method: HttpMethod = HttpMethod.POST
    headers: dict[str, HeaderValue] = Field({}, max_length=100)
    auth_method: HttpAuth = HttpAuth.NONE
    api_key: SecretStr | None = None
    username: SecretStr | None = None
    password: SecretStr | None = None
    token_url: str | None = None
    scope: str | None = None
    timeout: float = Field(30.0, gt=0, le=600)
    egress_allow: tuple[str, ...] = Field(
        default=(), description="CIDRs that may be reached beside global addresses"
    )

    @model_validator(mode="after")
    def _sendable(self) -> Self:
        for name, value in self.headers.items():
            check_header(name, plain(value))
        check_header("Authorization", f"Bearer {plain(self.api_key)}")
        return self

    def basic(self) -> str:
        """User and password, as they are sent in one."""
        return base64.b64encode(self._pair().encode()).decode()

    def url(self, path: str) -> str:
        """The address of a request to a path below the base."""
        if not path:
            return self.base_url
        return f"{self.base_url.rstrip('/')}/{path.lstrip('/')}"

    def secrets(self) -> list[str]:
        """What must not be repeated in any text."""
        held = [self.api_key, self.password, self.username]
        found = [plain(secret) for secret in held if secret is not None]
        if self.username is not None:
            found.append(self._pair())
        return found + secret_headers(self.headers)

    def _pair(self) -> str:
        return f"{plain(self.username)}:{plain(self.password)}"

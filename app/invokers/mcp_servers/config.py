"""The config of `mcp`: which server is called, and how the service signs in to it."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from app.invokers.config import InvokerConfig
from app.invokers.web.hosts import check_server
from app.invokers.web.http_config import HeaderValue, check_header, plain, secret_headers


class McpConfig(InvokerConfig):
    """A server; the resolver makes it of an McpServer."""

    url: Annotated[str, Field(max_length=2_000), AfterValidator(check_server)]
    token: SecretStr | None = None
    headers: dict[str, HeaderValue] = Field({}, max_length=100)
    egress_allow: tuple[str, ...] = Field(
        default=(), description="CIDRs that may be reached beside global addresses"
    )

    @model_validator(mode="after")
    def _sendable(self) -> Self:
        for name, value in self.request_headers().items():
            check_header(name, value)
        return self

    def request_headers(self) -> dict[str, str]:
        """What is sent with each request."""
        headers = {name: plain(value) for name, value in self.headers.items()}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {plain(self.token)}"
        return headers

    def secrets(self) -> list[str]:
        """What must not be repeated in any text."""
        token = [] if self.token is None else [plain(self.token)]
        return token + secret_headers(self.headers)

"""Kind ApiConnection: an HTTP API and how to sign in to it, for the `http` invoker."""

import re
from collections.abc import Sequence
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator
from typing_extensions import override

from app.invokers.web.http_config import HttpAuth
from app.manifests.brokers.bases.connection import ConnectionBroker
from app.manifests.brokers.bases.headers import Headers, header_references
from app.manifests.brokers.bases.resource import spec_field
from app.manifests.brokers.bases.stored import COLUMNS
from app.manifests.model.field_types import BaseUrl, SecretName
from app.manifests.model.metadata import ManifestModel
from app.manifests.model.reference import Reference
from app.manifests.model.table import Column

_UNDERSCORE = re.compile(r"_(\w)")
_NEEDS: dict[HttpAuth, frozenset[str]] = {
    HttpAuth.NONE: frozenset(),
    HttpAuth.BASIC: frozenset({"username", "password"}),
    HttpAuth.TOKEN: frozenset({"api_key"}),
    HttpAuth.OAUTH: frozenset({"username", "password", "token_url"}),
}
_CREDENTIAL_FIELDS = frozenset({"username", "password", "api_key", "token_url", "scope"})
_OPTIONAL = {HttpAuth.OAUTH: frozenset({"scope"})}


class Connection(ManifestModel):
    """Where the API is, and how to sign in."""

    base_url: BaseUrl = Field(description="Paths of requests are appended to it.")
    auth_method: HttpAuth = Field(HttpAuth.NONE, description="How to sign in.")
    api_key: SecretName | None = Field(None, description="Secret with the token (token).")
    username: SecretName | None = Field(
        None, description="Secret with the user (basic) or the client id (oauth)."
    )
    password: SecretName | None = Field(
        None, description="Secret with the password (basic) or the client secret (oauth)."
    )
    token_url: BaseUrl | None = Field(None, description="Where oauth gives out tokens.")
    scope: str | None = Field(None, description="What oauth asks for.", max_length=1_000)
    timeout: float = Field(30.0, description="Seconds a request may take.", gt=0, le=600)
    headers: Headers = Field({}, description="Sent with each request.")

    @model_validator(mode="after")
    def _fits_method(self) -> Self:
        given = {field for field in _CREDENTIAL_FIELDS if getattr(self, field) is not None}
        needed = _NEEDS[self.auth_method]
        if missing := sorted(needed - given):
            raise ValueError(f"authMethod {self.auth_method} needs {_camel(missing)}")
        if surplus := sorted(given - needed - _OPTIONAL.get(self.auth_method, frozenset())):
            raise ValueError(f"authMethod {self.auth_method} does not use {_camel(surplus)}")
        return self


class ApiConnectionSpec(ManifestModel):
    """A connection to an HTTP API."""

    connection: Connection


class ApiConnectionBroker(ConnectionBroker[ApiConnectionSpec]):
    """The `http` invoker names it in its `config: {connection: NAME}`."""

    kind: ClassVar[str] = "ApiConnection"
    id_prefix: ClassVar[str] = "con"
    spec_model = ApiConnectionSpec
    refers_to: ClassVar[frozenset[str]] = frozenset({"Secret"})
    columns: ClassVar[Sequence[Column]] = (
        *COLUMNS,
        spec_field("baseUrl", "connection", "baseUrl"),
        spec_field("authMethod", "connection", "authMethod"),
    )
    example: ClassVar[str] = """\
apiVersion: statewright/v1
kind: ApiConnection
metadata:
  name: example-connection
  description: a service that flows call
spec:
  connection:
    baseUrl: https://api.example.com/v2
    authMethod: none
    timeout: 10
    headers:
      Accept-Language: en
"""

    @override
    def references(self, spec: dict[str, Any]) -> list[Reference]:
        connection = spec["connection"]
        named = [
            Reference("Secret", connection[field], ("connection", field))
            for field in ("apiKey", "username", "password")
            if field in connection
        ]
        return named + header_references(connection["headers"], ("connection", "headers"))


def _camel(fields: list[str]) -> str:
    return ", ".join(_UNDERSCORE.sub(lambda found: found[1].upper(), field) for field in fields)

"""Types of fields that several kinds have."""

from typing import Annotated, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from app.invokers.web.hosts import check_server
from app.manifests.model.metadata import check_name


def _secret_name(name: str) -> str:
    """The value is never repeated: people paste the secret itself here."""
    try:
        check_name(name, free=False)
    except ValueError:
        raise ValueError("must be the name of a Secret, not the secret itself") from None
    return name


def _base_url(url: str) -> str:
    if "?" in url:
        raise ValueError("must not have a query")
    return _model_url(url)


def _model_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        raise ValueError("is no URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_fine:
        raise ValueError("must be an http or https URL")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user or password; name Secrets instead")
    if parts.fragment or any(char.isspace() for char in url):
        raise ValueError("must not have a fragment or spaces")
    return check_server(url)


SecretName: TypeAlias = Annotated[str, Field(max_length=200), AfterValidator(_secret_name)]
BaseUrl: TypeAlias = Annotated[str, Field(max_length=2_000), AfterValidator(_base_url)]
# Its query goes out with each request, such as Azure's `api-version`.
ModelUrl: TypeAlias = Annotated[str, Field(max_length=2_000), AfterValidator(_model_url)]

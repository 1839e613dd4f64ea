"""Headers that a manifest declares; those with a credential take it from a Secret."""

from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, Field

from app.errors import Loc
from app.invokers.web.http_config import CREDENTIAL, check_header
from app.manifests.model.field_types import SecretName
from app.manifests.model.metadata import ManifestModel
from app.manifests.model.reference import Reference


class SecretHeader(ManifestModel):
    """A header whose value is a Secret."""

    secret: SecretName = Field(description="Name of the Secret.")


def _plain_headers(headers: dict[str, str | SecretHeader]) -> dict[str, str | SecretHeader]:
    for name, value in headers.items():
        check_header(name, value if isinstance(value, str) else "")
        if isinstance(value, str) and CREDENTIAL.search(name):
            raise ValueError("a header with a credential takes it from a Secret: {secret: NAME}")
    return headers


Headers: TypeAlias = Annotated[
    dict[
        Annotated[str, Field(max_length=200)],
        Annotated[str, Field(max_length=2_000)] | SecretHeader,
    ],
    Field(max_length=50),
    AfterValidator(_plain_headers),
]


def header_references(headers: dict[str, Any], path: Loc) -> list[Reference]:
    """The Secrets that headers name; `path` is where the headers stand in the spec."""
    return [
        Reference("Secret", value["secret"], (*path, header, "secret"))
        for header, value in headers.items()
        if isinstance(value, dict)
    ]

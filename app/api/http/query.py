"""Refuses query parameters that an endpoint does not have, in place of passing over them."""

from collections.abc import Collection, Iterator

from fastapi.dependencies.models import Dependant
from starlette.requests import Request

from app.errors import BadRequestError, FieldError

_MAX_ERRORS = 50
_MAX_NAME = 100  # characters of a name: enough to find it


def check_query(request: Request, known: Collection[str]) -> None:
    """Requires that the endpoint declares each query parameter of the request.

    A misspelt `dry_run` would otherwise do what was only to be tried.

    Raises:
        BadRequestError: names each that it does not have.
    """
    if not request.scope["query_string"]:
        return
    unknown = [name[:_MAX_NAME] for name in request.query_params if name not in known]
    if unknown:
        takes = ", ".join(sorted(known)) or "none"
        msg = f"unknown query parameter; this endpoint takes {takes}"
        errors: list[FieldError] = [
            {"loc": ["query", name], "msg": msg} for name in unknown[:_MAX_ERRORS]
        ]
        raise BadRequestError(f"{unknown[0]!r}: {msg}.", errors=errors)


def query_names(dependant: Dependant) -> Iterator[str]:
    """The query parameters of an endpoint and of all that it depends on."""
    yield from (field.alias for field in dependant.query_params)
    for inner in dependant.dependencies:
        yield from query_names(inner)

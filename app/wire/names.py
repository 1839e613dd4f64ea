"""Names and schemas as clients send them, checked."""

from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, Field

from app.kit.invalid import InvalidValueError
from app.kit.schemas.json_schema import check_schema
from app.kit.visible import is_visible

FLOW_KEY_PATTERN = "^[a-z][a-z0-9_-]{0,62}$"


def printable(text: str) -> str:
    """A name without the spaces around it; refuses what nobody would see in it."""
    text = text.strip(" ")
    if not text:
        raise InvalidValueError("must not be blank")
    if not is_visible(text):
        raise InvalidValueError("must not contain line breaks, invisible or control characters")
    return text


Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(printable)]


def _checked_schema(schema: dict[str, Any]) -> dict[str, Any]:
    check_schema(schema)
    return schema


JsonSchema: TypeAlias = Annotated[dict[str, Any], AfterValidator(_checked_schema)]

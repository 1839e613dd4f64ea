"""Who a session is for, as its client says so."""

import re
from typing import Annotated, Any, Self

import orjson
from pydantic import AfterValidator, ConfigDict, Field, JsonValue, model_validator

from app.kit.visible import is_visible
from app.wire.messages import WireModel

MAX_SIZE = 10_000  # characters of all members together, as JSON
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


def _email(text: str) -> str:
    if not is_visible(text) or not _EMAIL.fullmatch(text):
        raise ValueError("must be an e-mail address")
    return text


def _name(text: str) -> str:
    if not is_visible(text):
        raise ValueError("must have characters that can be seen, and spaces, only")
    return text


Email = Annotated[str, Field(max_length=320), AfterValidator(_email)]
Name = Annotated[str, Field(max_length=200), AfterValidator(_name)]


class UserInfo(WireModel):
    """A person, for templates, guards and hooks (`user_info`); further members are kept."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {"email": "ann@example.com", "firstname": "Ann", "lastname": "Lee"}
        },
    )
    __pydantic_extra__: dict[str, JsonValue]

    email: Email | None = Field(None, description="Finds the session again in `user_sessions`.")
    firstname: Name | None = None
    lastname: Name | None = None

    @model_validator(mode="after")
    def _check_size(self) -> Self:
        if len(orjson.dumps(self.given())) > MAX_SIZE:
            raise ValueError(f"is larger than {MAX_SIZE:,} bytes of JSON")
        return self

    def given(self) -> dict[str, Any]:
        """The members that were sent."""
        return self.model_dump(mode="json", exclude_unset=True)

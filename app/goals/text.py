"""Text that a model submits."""

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field

MAX_TEXT = 1_000_000


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


Text: TypeAlias = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_not_blank)]

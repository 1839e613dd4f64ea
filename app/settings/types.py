"""Lists of settings, which in the environment are items with commas between."""

from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

_Item = TypeVar("_Item")


def _split(value: Any) -> Any:
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    return value


# In the environment: items with commas between.
CommaList = Annotated[list[_Item], NoDecode, BeforeValidator(_split)]

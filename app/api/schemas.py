"""The envelopes that the agents and threads endpoints answer with."""

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Field
from typing_extensions import TypeForm, override

T = TypeVar("T")


class Data(BaseModel, Generic[T]):
    """The answer of every endpoint of agents and threads: `{"data": …}`."""

    data: T

    @override
    @classmethod
    def model_parametrized_name(cls, params: tuple[TypeForm[Any], ...]) -> str:
        """`AgentRecordData` reads better in a generated SDK than `Data_AgentRecord_`."""
        return f"{_name(params[0])}Data"


class Page(BaseModel, Generic[T]):
    """One page of a list, newest first."""

    items: list[T]
    next_token: str | None = Field(
        None, description="Send it as `page_token` for the next page; null: this was the last"
    )

    @override
    @classmethod
    def model_parametrized_name(cls, params: tuple[TypeForm[Any], ...]) -> str:
        """`AgentRecordPage`, for the same reason."""
        return f"{_name(params[0])}Page"


def _name(parameter: Any) -> str:
    return getattr(parameter, "__name__", None) or str(parameter)

"""The envelopes that the agents and threads endpoints answer with."""

from typing import Any, Generic, TypeVar, get_args, get_origin

import orjson
from pydantic import BaseModel, Field
from starlette.responses import Response
from typing_extensions import TypeForm, override

from app.kit.concurrency.off_loop import off_loop
from app.sizes.limit import is_long

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


async def data_response(data: Any, code: int = 200) -> Response:
    """`{"data": …}` of what was made here and needs no validation: the path of every turn."""
    return await json_response({"data": data}, code)


async def record_response(record: BaseModel, code: int = 200) -> Response:
    """A record with those members that were set, as JSON."""
    content = await off_loop(
        lambda: record.model_dump_json(exclude_unset=True), heavy=is_long(record)
    )
    return Response(content, code, media_type="application/json")


async def json_response(value: Any, code: int = 200) -> Response:
    """A value as it is, as JSON."""
    content = await off_loop(lambda: orjson.dumps(value), heavy=is_long(value))
    return Response(content, code, media_type="application/json")


def _name(parameter: Any) -> str:
    if get_origin(parameter) is list:  # `StrList`, `SkillVersionRecordList`
        name = _name(*get_args(parameter))
        return f"{name[:1].upper()}{name[1:]}List"
    return getattr(parameter, "__name__", None) or str(parameter)

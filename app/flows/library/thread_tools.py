"""The tools of a thread: as clients declare them, how many they may be, and how large."""

from collections.abc import Mapping

from pydantic import TypeAdapter, ValidationError

from app.errors import BadRequestError
from app.invokers.tool import ServerTool
from app.sizes.limit import exceeds
from app.wire.client_tools import ClientToolSpec

MAX_TOOLS = 128
# Each request to a model has the schemas of all tools: SDKs copy and write them on the event loop.
MAX_SCHEMA_PARTS = 12_000
_CHARS = 16

_SPECS = TypeAdapter(list[ClientToolSpec])


def read_client_tools(specs: object) -> list[ClientToolSpec]:
    """Reads tools as a client declares them.

    Raises:
        BadRequestError: they are not well declared.
    """
    try:
        return _SPECS.validate_python(specs)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise BadRequestError(
            "The tools are not well declared.",
            errors=[{"loc": ["client_tools", *fault["loc"]], "msg": fault["msg"]}],
        ) from None


def check_tools(
    client: Mapping[str, ClientToolSpec], server: Mapping[str, ServerTool], own: int
) -> None:
    """Checks all tools of a thread together.

    Args:
        client: those of the client, by name.
        server: those that run here, by name.
        own: how many the service offers beside them, for goals and skills.

    Raises:
        BadRequestError: two have one name, or there are too many, or their schemas are too large.
    """
    if twice := sorted(client.keys() & server.keys()):
        raise BadRequestError(
            f"Two tools are named {twice[0]!r}: one of the client's, and a Tool.",
            errors=[
                {"loc": ["body", "client_tools"], "msg": f"{name!r} is a Tool"} for name in twice
            ],
        )
    tools: list[ClientToolSpec | ServerTool] = [*client.values(), *server.values()]
    if len(tools) + own > MAX_TOOLS:
        beside = f", and {own} of them are for its goals and skills" if own else ""
        raise BadRequestError(
            f"A thread has {MAX_TOOLS} tools at the most{beside}.",
            errors=[{"loc": ["body", "client_tools"], "msg": "too many"}],
        )
    if exceeds([tool.input_schema for tool in tools], MAX_SCHEMA_PARTS, chars=_CHARS):
        raise BadRequestError(
            f"The schemas of a thread's tools have {MAX_SCHEMA_PARTS:,} parts together at the most:"
            f" members, items, values, and each {_CHARS} characters of a text.",
            errors=[{"loc": ["body", "client_tools"], "msg": "too large"}],
        )

"""What the text of a manifest may be, and how a refusal says where it is wrong."""

from typing import Any, NoReturn

from app.errors import BadRequestError
from app.kit.storable import Limits, NotStorableError, check_json

MAX_BYTES = 256 * 1024
MAX_DEPTH = 64
MAX_NODES = 40_000  # values of one text: read in half a second
MAX_DOCUMENTS = 200
_LIMITS = Limits(depth=MAX_DEPTH, values=MAX_NODES)


def refuse(msg: str, *, line: int | None = None, column: int | None = None) -> NoReturn:
    """Raises the error of a text that cannot be read, with its place where it is known."""
    place = f", line {line}, column {column}" if line is not None else ""
    where: list[str | int] = ["body"] if line is None else ["body", line, column or 1]
    raise BadRequestError(
        f"The manifest cannot be read{place}: {msg}.", errors=[{"loc": where, "msg": msg}]
    )


def check_document(document: dict[str, Any]) -> None:
    """Refuses a document that could not be stored and sent again.

    Raises:
        BadRequestError: names what it is.
    """
    try:
        check_json(document, _LIMITS)
    except NotStorableError as fault:
        refuse(fault.reason)

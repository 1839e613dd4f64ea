"""Loads the documents of a text or a file, YAML and JSON alike."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any, NoReturn

from app.errors import BadRequestError, PayloadTooLargeError
from app.kit.storable import NotStorableError, parse_number
from app.manifests.text.limits import MAX_BYTES, MAX_DEPTH, MAX_DOCUMENTS, check_document, refuse
from app.manifests.text.yaml import read_yaml

# `{name: x}` is YAML, `{"name": "x"}` is both and is read as JSON, whose texts may have more.
_JSON = re.compile(r"\s*(?:\{\s*[\"}]|\[\s*[\[{\"\]])")


async def load_text(text: str | bytes) -> list[dict[str, Any]]:
    """The documents of a text, in order; at least one. Read in a thread: it may take a while.

    Raises:
        PayloadTooLargeError: larger than 256 KB; it was not parsed.
        BadRequestError: not UTF-8, neither YAML nor JSON, or a document is not a mapping.
    """
    size = len(text if isinstance(text, bytes) else text.encode(errors="surrogatepass"))
    if size > MAX_BYTES:
        raise PayloadTooLargeError(f"A manifest may have {MAX_BYTES:,} bytes; this has {size:,}.")
    return await asyncio.to_thread(_read, text)


async def load_file(path: Path) -> list[dict[str, Any]]:
    """The documents of a file on this machine: for the command line, never for a request.

    Raises:
        BadRequestError: the file cannot be read.
        PayloadTooLargeError: it is larger than 256 KB.
    """
    try:
        return await load_text(await asyncio.to_thread(_read_bounded, path))
    except OSError as error:
        raise BadRequestError(f"{path} cannot be read: {error.strerror}.") from None


def _read_bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _read(raw: str | bytes) -> list[dict[str, Any]]:
    try:
        text = raw if isinstance(raw, str) else raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        refuse(f"byte {error.start} is not UTF-8")
    if "\x00" in text:
        refuse("it holds a NUL character")
    return _documents([_read_json(text)] if _JSON.match(text) else read_yaml(text))


def _read_json(text: str) -> Any:
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=parse_number,
            parse_float=parse_number,
            parse_constant=_refuse_constant,
        )
    except json.JSONDecodeError as error:
        refuse(f"JSON: {error.msg}", line=error.lineno, column=error.colno)
    except RecursionError:
        refuse(f"nested deeper than {MAX_DEPTH} levels")
    except NotStorableError as fault:
        refuse(f"{fault.reason}; write it in quotes as text")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        refuse("an object has the same key twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    refuse(f"{name} is no number here")


def _documents(values: list[Any]) -> list[dict[str, Any]]:
    """The values as documents: empty ones are left out, a list is a list of documents."""
    if len(values) == 1 and isinstance(values[0], list):
        values = values[0]
    documents = [value for value in values if value is not None]
    if not documents:
        refuse("it is empty")
    if len(documents) > MAX_DOCUMENTS:
        refuse(f"more than {MAX_DOCUMENTS} documents")
    for number, document in enumerate(documents, 1):
        if not isinstance(document, dict):
            refuse(f"document {number} is not a mapping with apiVersion, kind, metadata and spec")
        check_document(document)
    return documents

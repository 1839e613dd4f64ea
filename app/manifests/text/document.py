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

_SEPARATOR = re.compile(r"^---[ \t]*(?:#.*)?\r?$", re.MULTILINE)
# `{name: x}` is YAML, `{"name": "x"}` is both and is read as JSON, whose texts may have more.
_JSON = re.compile(r"\s*(?:\{\s*[\"}]|\[\s*[\[{\"\]])")


async def load_text(text: str | bytes, *, most: int | None = MAX_DOCUMENTS) -> list[dict[str, Any]]:
    """The documents of a text, in order; at least one. Read in a thread: it may take a while.

    Args:
        text: YAML or JSON.
        most: how many documents there may be; None: as many as its size allows.

    Raises:
        PayloadTooLargeError: larger than 256 KB; it was not parsed.
        BadRequestError: not UTF-8, neither YAML nor JSON, or a document is not a mapping.
    """
    size = len(text if isinstance(text, bytes) else text.encode(errors="surrogatepass"))
    if size > MAX_BYTES:
        raise PayloadTooLargeError(f"A manifest may have {MAX_BYTES:,} bytes; this has {size:,}.")
    documents = await asyncio.to_thread(_read, text)
    if most is not None and len(documents) > most:
        refuse(f"more than {most} documents")
    return documents


async def load_file(path: Path) -> list[dict[str, Any]]:
    """The documents of a file on this machine: for the command line, never for a request.

    Raises:
        BadRequestError: the file cannot be read.
        PayloadTooLargeError: it is larger than 256 KB.
    """
    try:
        return await load_text(await asyncio.to_thread(_read_bounded, path), most=None)
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
    text = _unquoted(text)
    if "\x00" in text:
        refuse("it holds a NUL character")
    return _documents(_values(text))


def _unquoted(text: str) -> str:
    """The text itself where it came as a JSON string: so generated clients send it as JSON."""
    if not text.lstrip().startswith('"'):
        return text
    try:
        value = json.loads(text)
        value.encode()
    except UnicodeEncodeError:
        refuse("it holds half a character")
    except ValueError:  # YAML whose first key is in quotes
        return text
    return str(value)


def _values(text: str) -> list[Any]:
    """JSON, one document or several with `---` between; else YAML, which may look like JSON."""
    parts = [part for part in _SEPARATOR.split(text) if part.strip()]
    if not parts or not all(_JSON.match(part) for part in parts):
        return read_yaml(text)
    try:
        return [_read_json(part) for part in parts]
    except json.JSONDecodeError as error:
        return _yaml_or(text, error)


def _yaml_or(text: str, error: json.JSONDecodeError) -> list[Any]:
    """The values of what looks like JSON and is none, if it is YAML."""
    try:
        return read_yaml(text)
    except BadRequestError:
        if error.doc is text:
            refuse(f"JSON: {error.msg}", line=error.lineno, column=error.colno)
        raise  # it knows the line in the whole text


def _read_json(text: str) -> Any:
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=parse_number,
            parse_float=parse_number,
            parse_constant=_refuse_constant,
        )
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
    listed = (value if isinstance(value, list) else [value] for value in values)
    documents = [document for documents in listed for document in documents if document is not None]
    if not documents:
        refuse("it is empty")
    for number, document in enumerate(documents, 1):
        if not isinstance(document, dict):
            refuse(f"document {number} is not a mapping with apiVersion, kind, metadata and spec")
        check_document(document)
    return documents

"""What `-f` names: files, directories, addresses and standard input, read into documents."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.client import ServiceError
from app.cli.failures import CommandError
from app.errors import StatewrightError
from app.manifests.text.document import load_file, load_text
from app.manifests.text.limits import MAX_BYTES

_SUFFIXES = {".yaml", ".yml", ".json"}
# A person may read what their own machine reaches.
_ANYWHERE = ("0.0.0.0/0", "::/0")

FilesOption = Annotated[
    list[str],
    typer.Option(
        "-f",
        "--filename",
        metavar="FILE|DIR|-|URL",
        help="Manifests: a file, all files below a directory, standard input, an address."
        " May be given more than once.",
    ),
]


@dataclass(frozen=True, slots=True)
class Source:
    """A document, and where it was read."""

    place: str
    document: dict[str, Any]

    @property
    def kind(self) -> str:
        """The kind as the document spells it."""
        return str(self.document.get("kind") or "")

    @property
    def name(self) -> str:
        """The name of the resource; empty if the document does not say."""
        metadata = self.document.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        return name if isinstance(name, str) else ""

    @property
    def labels(self) -> dict[str, str]:
        """The labels of the resource; empty if the document has none."""
        metadata = self.document.get("metadata")
        labels = metadata.get("labels") if isinstance(metadata, dict) else None
        return labels if isinstance(labels, dict) else {}


def read_sources(names: Sequence[str]) -> list[Source]:
    """All documents, in the order in which they are named; a directory's files by their path.

    Raises:
        CommandError: something cannot be read or is no YAML; it says which and where.
    """
    found = [source for name in names for place in _places(name) for source in _read(place)]
    if not found:
        raise CommandError(f"There are no manifests in {', '.join(names)}.")
    return found


def placed(error: ServiceError, sources: Sequence[Source]) -> CommandError:
    """The error with the file of the document that the service refused, instead of its number."""
    number = _number(error, len(sources))
    if number is None:
        return error
    text = str(error).replace(f"Document {number + 1}: ", "", 1)
    text = text.replace(f"documents.{number}.", "")
    return CommandError(f"{sources[number].place}: {text}")


def _number(error: ServiceError, total: int) -> int | None:
    """The number of the document that the service speaks of, from 0."""
    start, _, _ = error.detail.partition(": ")
    word, _, number = start.partition(" ")
    if word == "Document" and number.isdecimal() and 0 < int(number) <= total:
        return int(number) - 1
    return 0 if total == 1 else None


def _places(name: str) -> list[str]:
    if not name:
        raise CommandError("-f has an empty value; give a file, a directory, an address or -.")
    if name == "-" or name.startswith(("http://", "https://")):
        return [name]
    path = Path(name)
    if not path.is_dir():
        return [name]
    return [str(file) for file in sorted(path.rglob("*")) if _is_manifest(file, path)]


def _is_manifest(file: Path, directory: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(directory).parts)
    return file.suffix in _SUFFIXES and not hidden and file.is_file()


def _read(place: str) -> list[Source]:
    shown = "standard input" if place == "-" else place
    try:
        documents = asyncio.run(_load(place))
    except StatewrightError as error:
        named = error.detail if shown in error.detail else f"{shown}: {error.detail}"
        raise CommandError(named) from None
    if len(documents) == 1:
        return [Source(shown, documents[0])]
    return [
        Source(f"{shown} (document {number})", document)
        for number, document in enumerate(documents, 1)
    ]


async def _load(place: str) -> list[dict[str, Any]]:
    if place == "-":
        return await load_text(sys.stdin.buffer.read(MAX_BYTES + 1), most=None)
    if place.startswith(("http://", "https://")):
        from app.manifests.text.address import load_url  # noqa: PLC0415 - slow, and few need it

        return await load_url(place, _ANYWHERE)
    return await load_file(Path(place))

"""What `-o` of `get` takes: a format, or a template that picks values out of manifests."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

import typer

from app.cli.failures import CommandError
from app.cli.printing.output import Format, say_document, say_rows, write

_JSONPATH = "jsonpath"
_COLUMNS = "custom-columns"

OutputOption = Annotated[
    str,
    typer.Option(
        "-o",
        "--output",
        metavar="FORMAT",
        help="table, wide, name, yaml, json, jsonpath=TEMPLATE, or custom-columns=NAME:PATH,…",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Output:
    """A format; or the template of `jsonpath` or `custom-columns`, and which of them it is."""

    format: Format | None
    template: str = ""
    language: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `-o` says.

        Raises:
            CommandError: it is none of the formats.
        """
        language, equals, template = text.partition("=")
        if language in (_JSONPATH, _COLUMNS):
            if not equals or not template:
                raise CommandError(f"-o {language} needs a template: {language}=…")
            return cls(None, template, language)
        try:
            return cls(Format(text))
        except ValueError:
            known = ", ".join([*Format, f"{_JSONPATH}=…", f"{_COLUMNS}=…"])
            raise CommandError(f"-o {text!r} is none of {known}.") from None

    @property
    def needs_manifests(self) -> bool:
        """Whether tables do not hold what is shown."""
        return self.format in (None, Format.YAML, Format.JSON)

    def say(self, found: dict[str, Any] | list[dict[str, Any]]) -> None:
        """Prints one manifest, or several."""
        if self.format is not None:
            say_document(found, self.format)
            return
        from app.cli.printing.picking import columns, fill  # noqa: PLC0415 - only these load the library

        if self.language == _JSONPATH:
            value = found if isinstance(found, dict) else {"kind": "List", "items": found}
            write(fill(self.template, value), nl=False)
            return
        items: Sequence[Any] = [found] if isinstance(found, dict) else found
        say_rows(columns(self.template, items))

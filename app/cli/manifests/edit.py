"""`statewright edit`: a manifest in an editor, and an apply of what was written."""

import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from app.cli.client import Client, ServiceError, open_client
from app.cli.failures import CommandError, one_line_errors
from app.cli.manifests.sources import placed, read_sources
from app.cli.manifests.targets import KindArgument, NameArgument, target
from app.cli.printing.output import as_yaml, resource_name, say
from app.settings.client import ClientSettings

_HEADER = "# Save and close to apply; as it is, nothing changes.\n"
_DONE = {"created": "created", "updated": "edited", "unchanged": "unchanged"}


def edit(kind: KindArgument, name: NameArgument = None) -> None:
    """Change a manifest in your editor ($VISUAL, $EDITOR), and apply it.

    An apply is refused if somebody else changed the resource meanwhile; what you wrote is kept.
    """
    with one_line_errors(), open_client() as client:
        kind, name = target(kind, name)
        found = client.ask("describe", kind, query={"name": name})["data"]
        found.pop("status", None)
        before = f"{_HEADER}{as_yaml(found)}"
        file = _edited(before)
        if file.read_text() == before:
            file.unlink()
            say("Edit cancelled, nothing changed.")
            return
        try:
            data = _applied(client, file)
        except CommandError as error:
            raise CommandError(f"{error}\nWhat you wrote is in {file}.") from None
        file.unlink()
        for item in data.get("items", [data]):
            manifest = item["manifest"]
            named = resource_name(manifest["kind"], manifest["metadata"]["name"])
            say(f"{named} {_DONE[item['operation']]}")


def _applied(client: Client, file: Path) -> dict[str, Any]:
    sources = read_sources([str(file)])
    try:
        answer = client.ask("apply", json=[source.document for source in sources])
    except ServiceError as error:
        raise placed(error, sources) from None
    data: dict[str, Any] = answer["data"]
    return data


def _edited(text: str) -> Path:
    """A file, readable by its owner only, with a text as the editor left it.

    Raises:
        CommandError: the editor cannot be run, or failed.
    """
    with tempfile.NamedTemporaryFile(
        "w", prefix="statewright-edit-", suffix=".yaml", delete=False
    ) as made:
        made.write(text)
    editor = ClientSettings().editor
    try:
        ended = subprocess.run([*shlex.split(editor), made.name], check=False)  # noqa: S603 - theirs
    except (OSError, ValueError) as error:
        raise CommandError(f"The editor {editor!r} cannot be run: {error}.") from None
    if ended.returncode != 0:
        raise CommandError(f"The editor {editor!r} failed; what you wrote is in {made.name}.")
    return Path(made.name)

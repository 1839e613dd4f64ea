"""`statewright wait`: until resources are as they should be."""

import re
import time
from typing import Annotated, Any

import typer

from app.cli.client import Client, ServiceError, open_client
from app.cli.failures import CommandError, one_line_errors
from app.cli.manifests.targets import (
    KindsArgument,
    NamesArgument,
    SelectorOption,
    read_list,
    targets,
)
from app.cli.printing.output import resource_name, say

_PAUSE_SECONDS = 0.5
_NOT_FOUND = 404
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
_TIME = re.compile(r"([0-9]+)([smh]?)")
_PATH = re.compile(r"jsonpath=\{?(.+?)\}?=(.*)", re.DOTALL)
_CONDITION = re.compile(r"condition=([A-Za-z]+)(?:=(.*))?")


def wait(
    kinds: KindsArgument,
    names: NamesArgument = None,
    *,
    condition: Annotated[
        str,
        typer.Option(
            "--for",
            help="delete, create, condition=FIELD[=VALUE] of the status (true if left out),"
            " or jsonpath={.path}=VALUE.",
        ),
    ],
    selector: SelectorOption = None,
    timeout: Annotated[str, typer.Option(help="Such as 30s, 5m, 1h; 0: look once.")] = "30s",
) -> None:
    """Wait until resources are as they should be; exit code 1 if they are not in time.

    `wait session/ath_… --for condition=running=false`; `wait agent/a --for condition=deployed`;
    `wait dataset/d --for delete`.
    """
    with one_line_errors(), open_client() as client:
        until = time.monotonic() + _seconds(timeout)
        for kind, name in _find_names(client, kinds, names, selector):
            while not _is_met(_manifest(client, kind, name), condition):
                if time.monotonic() >= until:
                    named = resource_name(kind, name)
                    raise CommandError(f"timed out waiting for {condition} of {named}.")
                time.sleep(_PAUSE_SECONDS)
            say(f"{resource_name(kind, name)} condition met")


def _seconds(text: str) -> int:
    found = _TIME.fullmatch(text)
    if found is None:
        raise CommandError(f"--timeout {text!r} is no time such as 30s, 5m or 1h.")
    return int(found[1]) * _UNITS[found[2]]


def _find_names(
    client: Client, kinds: str, names: list[str] | None, selector: str | None
) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for kind, name in targets(kinds, names):
        if name is not None:
            found.append((kind, name))
            continue
        query: dict[str, str | int] = {"selector": selector} if selector else {}
        listing = read_list(client, kind, query)
        found += [(listing.kind, item["name"]) for item in listing.items]
    if not found:
        raise CommandError("No resources found to wait for.")
    return found


def _manifest(client: Client, kind: str, name: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = client.ask("describe", kind, query={"name": name})["data"]
    except ServiceError as error:
        if error.status != _NOT_FOUND:
            raise
        return None
    return found


def _is_met(manifest: dict[str, Any] | None, condition: str) -> bool:
    """Whether a resource, or that there is none, meets a condition.

    Raises:
        CommandError: it is no condition, or of what is not there.
    """
    if condition == "delete":
        return manifest is None
    if condition == "create":
        return manifest is not None
    path, named = _PATH.fullmatch(condition), _CONDITION.fullmatch(condition)
    if path is None and named is None:
        raise CommandError(
            f"--for {condition!r} is none of delete, create, condition=FIELD[=VALUE],"
            " jsonpath={.path}=VALUE."
        )
    if manifest is None:
        raise CommandError("The resource is not there.")
    if path is not None:
        from app.cli.printing.picking import fill  # noqa: PLC0415 - only this loads the library

        return fill(f"{{{path[1]}}}", manifest) == path[2]
    assert named is not None  # noqa: S101 - one of the two is there
    status = {key.lower(): value for key, value in manifest["status"].items()}
    value = status.get(named[1].lower())
    expected = "true" if named[2] is None else named[2].lower()
    return (str(value).lower() if value is not None else "") == expected

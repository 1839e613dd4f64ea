"""Deleting many resources: what is not in a set, or what manifests name."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

from app.cli.client import Client, ServiceError
from app.cli.failures import CommandError
from app.cli.output import resource_name, say

_MOST = 1000  # that the service lists
Named = tuple[str, str]  # kind and name


def find_surplus(
    client: Client, kinds: Sequence[str], items: Sequence[dict[str, Any]]
) -> list[Named]:
    """What the org has of the kinds and the applied set has not.

    Args:
        client: of the service.
        kinds: what may be deleted, in any spelling.
        items: what the service says of each document of the set.

    Raises:
        CommandError: there is more of a kind than the service lists.
    """
    manifests = [item["manifest"] for item in items]
    declared = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests}
    return [
        named
        for kind in dict.fromkeys(kinds)
        for named in names_of(client, kind)
        if named not in declared
    ]


def names_of(client: Client, kind: str) -> list[Named]:
    """All resources of a kind."""
    answer = client.ask("get", kind, query={"i": _MOST})
    items = answer["data"]["data"]["items"]
    if len(items) >= _MOST:
        raise CommandError(f"There are {_MOST} {kind} or more: too many for this.")
    return [(answer["data"]["kind"], item["name"]) for item in items]


def delete_surplus(client: Client, surplus: Sequence[Named], *, dry_run: bool) -> None:
    """Deletes what `find_surplus` found, and says so."""
    if dry_run:
        for kind, name in surplus:
            say(f"{resource_name(kind, name)} pruned (dry run)")
        return
    delete_all(client, surplus, lambda named: say(f"{resource_name(*named)} pruned"))


def delete_all(
    client: Client, resources: Sequence[Named], deleted: Callable[[Named], None]
) -> list[ServiceError]:
    """Deletes resources: what others of them name goes after those.

    Args:
        client: of the service.
        resources: in any order.
        deleted: is called with each that is gone.

    Returns:
        The errors of those that were not there.

    Raises:
        ServiceError: one cannot be deleted; the others before it are.
    """
    missing: list[ServiceError] = []
    left = list(resources)
    while left:
        conflicts: list[tuple[Named, ServiceError]] = []
        for named in left:
            error = _delete(client, named)
            if error is None:
                deleted(named)
            elif error.status == HTTPStatus.NOT_FOUND:
                missing.append(error)
            else:
                conflicts.append((named, error))
        if len(conflicts) == len(left):
            raise conflicts[0][1]
        left = [named for named, _ in conflicts]
    return missing


def _delete(client: Client, named: Named) -> ServiceError | None:
    """Why it cannot be deleted now; None if it was.

    Raises:
        ServiceError: it never can.
    """
    kind, name = named
    try:
        client.ask("delete", kind, query={"name": name})
    except ServiceError as error:
        if error.status in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
            return error
        raise
    return None

"""Deletes many resources, one by one: what others name goes after those."""

from collections.abc import Callable, Sequence
from http import HTTPStatus

from app.cli.client import Client, ServiceError

Named = tuple[str, str]  # kind and name


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


def check_all(
    client: Client,
    resources: Sequence[Named],
    deletable: Callable[[Named], None],
    in_use: Callable[[Named, ServiceError], None],
) -> list[ServiceError]:
    """Asks the service what a deletion would do, which changes nothing.

    Args:
        client: of the service.
        resources: in any order.
        deletable: is called with each that would be gone.
        in_use: is called with each that others name, which may be among the resources themselves.

    Returns:
        The errors of those that are not there.

    Raises:
        ServiceError: one can never be deleted.
    """
    missing: list[ServiceError] = []
    for named in resources:
        error = _delete(client, named, dry_run=True)
        if error is None:
            deletable(named)
        elif error.status == HTTPStatus.NOT_FOUND:
            missing.append(error)
        else:
            in_use(named, error)
    return missing


def _delete(client: Client, resource: Named, *, dry_run: bool = False) -> ServiceError | None:
    """Why it cannot be deleted now; None if it was, or would be.

    Raises:
        ServiceError: it never can.
    """
    kind, name = resource
    query: dict[str, str | int] = {"name": name}
    if dry_run:
        query["dry_run"] = "true"
    try:
        client.ask("delete", kind, query=query)
    except ServiceError as error:
        if error.status in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
            return error
        raise
    return None

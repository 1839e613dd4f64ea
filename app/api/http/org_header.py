"""The org that a client says it means: it must be the caller's, or the request goes nowhere.

The published client names it in headers. A key belongs to one org, so the headers choose nothing;
to leave them unread would do to one org what was meant for another.
"""

from collections.abc import Mapping

from app.access.caller import Caller
from app.errors import ForbiddenError, NotFoundError


def check_org(caller: Caller, headers: Mapping[str, str]) -> None:
    """Refuses a request whose headers name another org than the caller's.

    Raises:
        ForbiddenError: it acts for another org.
        NotFoundError: it asks for what another org owns.
    """
    org_id = headers.get("x-roboto-org-id", caller.org_id)
    if org_id != caller.org_id:
        raise ForbiddenError(f"This API key belongs to another org than {org_id!r}.")
    owner_id = headers.get("x-roboto-resource-owner-id", caller.org_id)
    if owner_id != caller.org_id:
        raise NotFoundError(f"There is nothing of an org {owner_id!r} that this API key can see.")

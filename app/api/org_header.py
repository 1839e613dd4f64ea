"""The org that a client says it means: it must be the caller's, or the request goes nowhere.

The published client names it in headers. A key belongs to one org, so the headers choose nothing;
to leave them unread would do to one org what was meant for another.
"""

from typing import Annotated

from fastapi import Depends, Header

from app.api.deps import CallerDep
from app.errors import ForbiddenError, NotFoundError

_OrgId = Annotated[str | None, Header(alias="X-Roboto-Org-Id", include_in_schema=False)]
_OwnerId = Annotated[
    str | None, Header(alias="X-Roboto-Resource-Owner-Id", include_in_schema=False)
]


async def _check_org(caller: CallerDep, org_id: _OrgId = None, owner_id: _OwnerId = None) -> None:
    """Acting for another org is forbidden; what another org owns does not exist."""
    if org_id not in (None, caller.org_id):
        raise ForbiddenError(f"This API key belongs to another org than {org_id!r}.")
    if owner_id not in (None, caller.org_id):
        raise NotFoundError(f"There is nothing of an org {owner_id!r} that this API key can see.")


# For the `dependencies` of a router.
SameOrg = Depends(_check_org)

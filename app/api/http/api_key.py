"""The API key of a request: who is calling, and whether the key allows what is asked."""

from collections.abc import Iterator
from functools import partial

from fastapi.dependencies.models import Dependant
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import Request
from structlog.contextvars import bind_contextvars

from app.access.authenticate import authenticate
from app.access.caller import Caller, KeyScope
from app.api.http.org_header import check_org
from app.kit.concurrency.holds import hold_by
from app.kit.concurrency.loop_lag import works_on
from app.kit.concurrency.shares import work_for
from app.settings import Settings


class ApiKey(SecurityBase):
    """The caller, for an endpoint; declared in the OpenAPI document.

    An `ApiRoute` has found it out before the body was read. One dependency that reads the request
    itself: each further one is paid for by every request.

    Args:
        scope: what the key must be allowed to do; None for any valid key.
    """

    def __init__(self, scope: KeyScope | None = None) -> None:
        self.scheme_name = "ApiKey"
        self.model = HTTPBearer(
            description="An API key: `Authorization: Bearer KEY`. `Token KEY` is taken too."
        )
        self._scope = scope

    async def __call__(self, request: Request) -> Caller:
        caller: Caller | None = getattr(request.state, "caller", None)
        if caller is None:  # a route of another class
            caller = await find_caller(request)
            self.check(caller)
        return caller

    def check(self, caller: Caller) -> None:
        """Refuses a key that is not allowed to do it.

        Raises:
            ForbiddenError: it is not.
        """
        if self._scope is not None:
            caller.require(self._scope)


def api_keys(dependant: Dependant) -> Iterator[ApiKey]:
    """What an endpoint, and all that it depends on, ask of the key; nothing: it needs none."""
    if isinstance(dependant.call, ApiKey):
        yield dependant.call
    for inner in dependant.dependencies:
        yield from api_keys(inner)


async def find_caller(request: Request) -> Caller:
    """Who sends a request, for its endpoint and its log lines.

    Raises:
        UnauthorizedError: it has no valid key.
        ForbiddenError, NotFoundError: it names another org than the key's.
    """
    settings: Settings = request.app.state.settings
    secret_key = settings.security.secret_key.get_secret_value()
    authorization = request.headers.get("authorization")
    caller = await authenticate(request.app.state.keys, secret_key, authorization)
    work_for(caller.org_id)
    works_on(org_id=caller.org_id)
    bind_contextvars(org_id=caller.org_id, user_id=caller.user_id, key_id=caller.key_id)
    hold_by(partial(request.app.state.keys.held, caller.key_id))
    request.state.caller = caller
    check_org(caller, request.headers)
    return caller

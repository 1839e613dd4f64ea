"""The class of every route: first the key, then its quotas, and only then the body."""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, ClassVar

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import override

from app.api.http.api_key import api_keys, find_caller
from app.api.http.body import BodyReads, JsonRequest, is_light, max_bytes_of, parse_body
from app.api.http.limits.quotas import Admission, Quotas
from app.api.http.query import check_query, query_names
from app.kit.concurrency.off_loop import off_loop
from app.settings import Settings

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
_Validate = Callable[..., tuple[Any, list[dict[str, Any]]]]


class ApiRoute(APIRoute):
    """Reads a body only for a key that may have it read, within the route's limit, and once.

    Without a key nothing is read.

    Attributes:
        takes_json: whether the body must be JSON; else its endpoint reads it itself.
    """

    takes_json: ClassVar[bool] = True

    @override
    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()
        keys = tuple(dict.fromkeys(api_keys(self.dependant)))
        query = frozenset(query_names(self.dependant))
        if not keys and self.body_field is not None:
            raise TypeError(f"{self.path} takes a body, and no key that would allow to read it")

        async def handle(request: Request) -> Response:
            if not keys:
                check_query(request, query)
                return await handler(request)
            caller = await find_caller(request)
            quotas: Quotas = request.app.state.quotas
            with quotas.admit(caller) as admission:
                for key in keys:
                    key.check(caller)
                check_query(request, query)
                return await handler(await self._with_body(request, admission))

        return handle

    async def _with_body(self, request: Request, admission: Admission) -> Request:
        settings: Settings = request.app.state.settings
        reads: BodyReads = request.app.state.body_reads
        limit = min(max_bytes_of(self.openapi_extra), settings.api.max_body_bytes)
        content = await reads.read(request, limit, admission.take_bytes)
        if not content or not self.takes_json:
            return JsonRequest(request, content, None)
        validate = self.body_field.validate if self.body_field else None
        make = partial(_parse, content, settings.api.max_body_values, validate)
        given, value = await off_loop(make, heavy=not is_light(content))
        request.state.json_body = given
        return JsonRequest(request, content, value)


def _parse(content: bytes, max_values: int, validate: _Validate | None) -> tuple[Any, Any]:
    """The JSON of a body, and what the endpoint takes, which the framework then leaves as it is."""
    given = parse_body(content, max_values)
    if validate is None or given is None:
        return given, given
    value, faults = validate(given, loc=("body",))
    if faults:
        raise RequestValidationError(faults, body=given)
    return given, value

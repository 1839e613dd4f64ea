"""The route class of the manifest endpoints: completes their errors, and clears the key cache."""

import re
from typing import ClassVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import override

from app.api.http.problems import as_statewright_error, handle
from app.api.http.route import ApiRoute, Handler
from app.errors import NotFoundError, StatewrightError
from app.manifests.model.envelope import API_VERSION
from app.manifests.registry import all_brokers

_COMMAND = re.compile(r"/api/v1/cli(?:/([A-Za-z_-]*))?")

_CHANGES = frozenset({"apply", "delete", "deploy", "undeploy"})


class ManifestRoute(ApiRoute):
    """Adds `api`, `thing`, `metadata` and `description` to each error.

    After a verb that changes resources it also clears the cache of API keys, so that a key that
    was deleted or changed is looked up again by the next request.
    """

    takes_json: ClassVar[bool] = False  # YAML, whatever the content type says

    @override
    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()

        async def handle_verb(request: Request) -> Response:
            try:
                answer = await handler(request)
            except HTTPException:
                raise
            except Exception as error:
                raise _completed(as_statewright_error(error), request) from error
            if _command(request) in _CHANGES:
                request.app.state.keys.forget()
            return answer

        return handle_verb


async def handle_http_error(request: Request, error: Exception) -> Response:
    """Answers what the framework refuses; below the path of the verbs, in the form of their errors.

    An exception handler of the application: no route of ours sees an unknown path.
    """
    if not isinstance(error, HTTPException) or not _COMMAND.search(request.url.path):
        return await handle(request, error)
    members = {
        "api": API_VERSION,
        "thing": None,
        "metadata": {"command": _command(request), "key": None},
        "description": str(error.detail),
    }
    return await handle(request, error, members)


def _command(request: Request) -> str:
    found = _COMMAND.search(request.url.path)
    return (found[1] or "").replace("-", "_") if found else ""


def _completed(error: StatewrightError, request: Request) -> StatewrightError:
    error.extra.setdefault("thing", _thing(request))
    error.extra.setdefault("metadata", {"command": _command(request), "key": None})
    error.extra |= {"api": API_VERSION, "description": error.detail}
    return error


def _thing(request: Request) -> str | None:
    """The kind that the path names, if there is such a kind."""
    try:
        return all_brokers().kind(request.path_params["kind"])
    except (KeyError, NotFoundError):
        return None

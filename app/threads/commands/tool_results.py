"""Results of a client's tools: they go on with the turn that waits for them."""

from typing import Any

import orjson

from app.access.caller import Caller
from app.errors import BadRequestError, EventNotAcceptedError
from app.invokers.tool import ToolResult, fitted
from app.kit.concurrency.off_loop import off_loop
from app.sessions.runtime import Runtime
from app.sessions.turn.admission import EventRequest, admit
from app.sessions.visibility import check_usable
from app.sizes.limit import is_long
from app.threads.delta import read_thread
from app.threads.record import changed_thread_fields
from app.wire.client_tools import ClientToolResult, SubmitToolResultsRequest

_EVENT = "submit_results"


async def submit_results(
    runtime: Runtime,
    caller: Caller,
    thread_id: str,
    request: SubmitToolResultsRequest,
    idempotency_key: str | None,
) -> dict[str, Any]:
    """Takes results of open calls; the model is asked again when the last of them is there.

    The same results once more change nothing: clients repeat a request whose answer was lost.

    Raises:
        NotFoundError: there is no such thread.
        ForbiddenError: it is somebody else's.
        BadRequestError: the thread waits for no results, or not for these.
        IdempotencyMismatchError: the key came before, with another request.
    """
    results = [_result(result) for result in request.tool_results]
    if not results:
        return await read_thread(runtime, caller, thread_id, load_messages=False)

    def read() -> tuple[str, dict[str, Any]]:
        updates = request.model_dump(mode="json", include={"client_tools"}, exclude_none=True)
        return orjson.dumps(results).decode(), updates

    text, updates = await off_loop(read, heavy=is_long(request))
    event = EventRequest(_EVENT, text, idempotency_key=idempotency_key, updates=updates)
    try:
        return await admit(
            runtime,
            caller,
            thread_id,
            event,
            allow=lambda session: check_usable(caller, session),
            answer=lambda before, _flow, change: changed_thread_fields(before, change),
        )
    except (BadRequestError, EventNotAcceptedError) as error:
        if await _are_stored(runtime, thread_id, results):
            return await read_thread(runtime, caller, thread_id, load_messages=False)
        if isinstance(error, BadRequestError):
            raise
        raise BadRequestError(
            "The thread waits for no results of client tools.",
            errors=[{"loc": ["body", "tool_results"], "msg": "not waited for"}],
            extra=error.extra,
        ) from None


def _result(result: ClientToolResult) -> dict[str, Any]:
    return {
        "tool_use_id": result.tool_use_id,
        "status": result.status,
        "payload": result.output,
        "runtime_ms": result.runtime_ms,
    }


async def _are_stored(runtime: Runtime, thread_id: str, results: list[dict[str, Any]]) -> bool:
    """Whether each of the results is in the dialogue, as it is sent."""
    stored: dict[str, dict[str, Any]] = {}
    calls: dict[str, int] = {}
    ids = [given["tool_use_id"] for given in results]
    for content in await runtime.store.calls(thread_id, ids):
        found = _by_id(content, "tool_use")
        calls |= dict.fromkeys(found, len(found))
        stored |= _by_id(content, "tool_result")
    return all(
        result.items() <= stored.get(result["tool_use_id"], {}).items()
        for result in (
            fitted(ToolResult(**given), calls.get(given["tool_use_id"], 1)).model_dump()
            for given in results
        )
    )


def _by_id(content: list[dict[str, Any]], content_type: str) -> dict[str, dict[str, Any]]:
    """The blocks of calls or of results in a message."""
    of_type = (block for block in content if block.get("content_type") == content_type)
    return {block["tool_use_id"]: block for block in of_type}

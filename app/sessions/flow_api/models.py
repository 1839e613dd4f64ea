"""Reading the model of a session of any flow, or what a path selects of it."""

import asyncio
from typing import Any

import jmespath
import orjson
from jmespath.exceptions import JMESPathError

from app.access.caller import Caller
from app.errors import BadRequestError
from app.flows.grammar.reader import MAX_PATH_CHARS
from app.flows.rendering.store_reads import STORE, reads_of_paths, stored_keys
from app.flows.select import PathError, select
from app.kit.concurrency.off_loop import off_loop
from app.kit.path_faults import path_fault
from app.sessions.flow_api.commands import check_allowed
from app.sessions.flow_api.responses import model_response
from app.sessions.runtime import Runtime
from app.sessions.store.snapshot import Snapshot
from app.sessions.turn.stored_values import with_stored_values
from app.sizes.limit import MAX_BYTES, SizeLimit, is_long, size_of


async def read_model(
    runtime: Runtime, caller: Caller, key: str, session_id: str, path: str | None
) -> dict[str, Any]:
    """The JSON of a session's model, or of what a JMESPath selects from it, as the response.

    Raises:
        BadRequestError: the path is wrong.
        SizeLimitError: it is more than is shown at once.
    """
    _check_path(path)
    before = await runtime.store.load(caller.org_id, session_id)
    check_allowed(caller, key, before)
    flow = await runtime.catalog.get(before.org_id, before.flow, before.flow_revision)
    every = path is None or "@" in path or "*" in path

    def dumped(session: Snapshot) -> dict[str, Any]:
        model = session.load_model(flow)
        dump, values = model.model_dump(mode="json"), model.secondary_store
        reads = {STORE} if every else reads_of_paths(path or "")
        if keys := stored_keys(reads, values):
            found = {key: values[key] for key in keys}
            dump[STORE] = {key: value.model_dump(mode="json") for key, value in found.items()}
        return dump

    async def read(session: Snapshot) -> dict[str, Any]:
        return await off_loop(lambda: dumped(session), heavy=session.is_heavy)

    whole = await with_stored_values(runtime, before, read)
    whole |= {
        "session_id": session_id,
        "state": before.state,
        "task_error": before.task_error,
        "user_info": before.user_info,
    }
    if every or "dialogue" in (path or ""):
        whole["dialogue"] = await _dialogue(runtime, session_id)
    try:
        found = whole if path is None else await asyncio.to_thread(select, path, whole)
    except PathError as error:
        raise _bad_path(error.detail) from None
    heavy = before.is_heavy or is_long(found)
    return model_response(flow, before, await off_loop(lambda: _to_text(found), heavy=heavy))


def _to_text(found: Any) -> str:
    shown = orjson.dumps(found)
    SizeLimit("What is shown of the session").add(len(shown))
    return shown.decode()


async def _dialogue(runtime: Runtime, session_id: str) -> list[dict[str, str]]:
    """All of the dialogue, if it is not too much: one message more would be read, to find out."""
    dialogue = await runtime.store.dialogue(session_id, None, 2 * MAX_BYTES)
    limit = SizeLimit("The dialogue of the session")
    for element in dialogue:
        limit.add(size_of(element.text))
    return [element.record() for element in dialogue]


def _check_path(path: str | None) -> None:
    if path is None:
        return
    if len(path) > MAX_PATH_CHARS:
        raise _bad_path(f"it is longer than {MAX_PATH_CHARS} characters")
    try:
        jmespath.compile(path)
    except (JMESPathError, RecursionError) as error:
        raise _bad_path(path_fault(error)) from None


def _bad_path(fault: str) -> BadRequestError:
    return BadRequestError(
        "The path is not a JMESPath that fits the model.",
        errors=[{"loc": ["query", "path"], "msg": fault}],
    )

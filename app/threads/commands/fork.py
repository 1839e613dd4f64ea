"""Forking a thread: a copy of it up to a message, which belongs to who forked it."""

from typing import Any

from app.access.caller import Caller
from app.db.models import MessageStatus
from app.enums import ThreadVisibility
from app.errors import BadRequestError, FieldError
from app.flows.flow import Flow
from app.idempotency.request import request_hash
from app.sessions.runtime import Runtime
from app.sessions.store.change import Change
from app.sessions.store.new_rows import NewMessage, NewSession
from app.sessions.store.snapshot import Snapshot
from app.sessions.store.stored_rows import StoredMessage
from app.sessions.turn.opening import StartIdentity, opened_before
from app.sessions.visibility import check_usable
from app.threads.commands.new_thread import open_thread, record_with_times


async def fork_thread(
    runtime: Runtime,
    caller: Caller,
    thread_id: str,
    last_message: int,
    idempotency_key: str | None = None,
) -> dict[str, Any]:
    """Copies a thread up to a message into a private thread of the caller's.

    Raises:
        BadRequestError: there is no such message, or it is still being made.
        ForbiddenError: the caller may not read the thread.
        IdempotencyMismatchError: the key came before, with another request.
    """
    identity = StartIdentity(idempotency_key, request_hash(thread_id, last_message))
    if (before := await opened_before(runtime, caller, identity)) is not None:
        return record_with_times(before)
    source = await runtime.store.load(caller.org_id, thread_id)
    check_usable(caller, source)
    messages = await _messages_up_to(runtime, source, last_message)
    flow = await runtime.catalog.get(caller.org_id, source.flow, source.flow_revision)
    new_session = NewSession(
        flow=flow.key,
        flow_revision=flow.revision,
        visibility=ThreadVisibility.PRIVATE,
        created_by=caller.user_id,
        model_profile=source.model_profile,
        budget=source.budget,
        forked_from_id=thread_id,
        forked_from_message=last_message,
    )
    session_id = identity.session_id(caller)
    change = Change.opening(
        session_id, caller.org_id, new_session, event="fork", title=source.title
    )
    change.put_into(await _first_resting_state(flow), flow)
    change.model = source.model
    change.stored = await runtime.store.values(source.id, source.stored_keys or ())
    change.messages = [
        NewMessage(message.role, message.content, message.status, created_by=message.created_by)
        for message in messages
    ]
    return await open_thread(runtime, caller, change, new_session, identity)


async def _messages_up_to(
    runtime: Runtime, source: Snapshot, last_message: int
) -> list[StoredMessage]:
    """The messages to copy.

    Raises:
        BadRequestError: the last one is not there or not complete, or they are too much.
    """
    if not 0 <= last_message < source.message_count:
        raise _not_forked(
            f"The thread has {source.message_count} finished messages, counted from 0; "
            f"there is no message {last_message} to fork at.",
            "out of range",
        )
    most = runtime.settings.lists.fork_bytes
    messages = await runtime.store.messages(source.id, 0, most, last=last_message)
    if len(messages) <= last_message:
        raise _not_forked(
            f"The messages up to {last_message} hold more than {most:,} bytes, which is the most"
            " that is copied; fork at an earlier one.",
            "too much to copy",
        )
    if messages[last_message].status is MessageStatus.GENERATING:
        raise _not_forked(
            "The message still waits for results of tools; fork at one before it, or later.",
            "not complete",
        )
    return messages


def _not_forked(detail: str, msg: str) -> BadRequestError:
    errors: list[FieldError] = [{"loc": ["body", "message_sequence_num"], "msg": msg}]
    return BadRequestError(detail, errors=errors)


async def _first_resting_state(flow: Flow) -> str:
    """Where a copy of a session starts: its flow's first state, unless that invokes something."""
    initial = await flow.initial_state()
    return flow.resting_state() or initial if flow.invokes(initial) else initial

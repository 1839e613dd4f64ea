"""Opening a session: written once for each idempotency key, whichever API the request came by."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.access.caller import Caller
from app.kit.ids import derived_id, new_id
from app.sessions.runtime import Runtime
from app.sessions.store.change import Change, ClientEvent
from app.sessions.turn.announce import announce


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A new session, or the one that the same idempotency key opened before.

    `answer` is what its client got; `created` is by the database's clock.
    """

    answer: dict[str, Any]
    created: datetime


def session_id_for(caller: Caller, idempotency_key: str | None, *scope: str) -> str:
    """The id of a session to be opened: of the same key in the same scope, the same one."""
    if idempotency_key is None:
        return new_id("ath")
    return derived_id("ath", caller.org_id, caller.user_id, *scope, idempotency_key)


async def open_session(
    runtime: Runtime,
    caller: Caller,
    change: Change,
    *,
    request_hash: bytes,
    idempotency_key: str | None,
    event_input: str,
    answer: dict[str, Any],
) -> OpenedSession:
    """Writes the start of a session, and publishes its steps.

    Raises:
        IdempotencyMismatchError: the key came before, with another request.
    """
    change.client_event = ClientEvent(
        id=change.cause.id,
        name=change.event,
        input=event_input,
        created_by=caller.user_id,
        request_hash=request_hash.hex(),
        idempotency_key=idempotency_key,
        answer=answer,
    )
    created = await runtime.store.start(change)
    if created is not None:
        await announce(runtime, change)
        return OpenedSession(answer, created)
    session, previous = await runtime.store.load_for_event(
        caller.org_id, change.session_id, idempotency_key
    )
    if previous is None:
        raise RuntimeError("a session with a derived id has an event with its key")
    return OpenedSession(previous.for_request(request_hash), session.created)

"""Opening a session: written once for each idempotency key, whichever API the request came by."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.access.caller import Caller
from app.enums import Quota
from app.idempotency.request import request_hash
from app.kit.ids import derived_id, new_id
from app.sessions.runtime import Runtime
from app.sessions.store.change import Change
from app.sessions.store.new_rows import ClientEvent
from app.sessions.store.outcome import NotStarted, Started
from app.sessions.turn.announce import announce


@dataclass(frozen=True, slots=True)
class StartIdentity:
    """What a request to open a session is known by when it comes again.

    Attributes:
        idempotency_key: that of the request, if it has one.
        request_hash: of what was asked, as it was asked.
        scope: what else tells one key from the same of another request.
    """

    idempotency_key: str | None
    request_hash: bytes
    scope: tuple[str, ...] = ()

    def session_id(self, caller: Caller) -> str:
        """The id of the session: of the same key in the same scope, the same one."""
        if self.idempotency_key is None:
            return new_id("ath")
        own = (caller.org_id, caller.user_id, *self.scope)
        return derived_id("ath", *own, self.idempotency_key)


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A new session, or the one that the same idempotency key opened before.

    `answer` is what its client got; `created` is by the database's clock.
    """

    answer: dict[str, Any]
    created: datetime


async def opened_before(
    runtime: Runtime, caller: Caller, identity: StartIdentity
) -> OpenedSession | None:
    """What the same key has opened already; it is asked for before what the request names is.

    So a repeated request is answered also after its flow, agent or tool was changed, or is gone.

    Raises:
        IdempotencyMismatchError: the key came before, with another request.
    """
    key = identity.idempotency_key
    if key is None:
        return None
    found = await runtime.store.opened(caller.org_id, identity.session_id(caller), key)
    if found is None:
        return None
    previous, created = found
    return OpenedSession(previous.for_request(identity.request_hash), created)


async def open_session(
    runtime: Runtime,
    caller: Caller,
    change: Change,
    identity: StartIdentity,
    *,
    event_input: str,
    answer: dict[str, Any],
) -> OpenedSession:
    """Writes the start of a session, and publishes its steps.

    Raises:
        IdempotencyMismatchError: the key came before, with another request.
    """
    caller.need(Quota.SESSIONS, Quota.RUNNING_STEPS, Quota.STORED_BYTES)
    change.client_event = ClientEvent(
        id=change.cause.id,
        name=change.event,
        input=event_input,
        created_by=caller.user_id,
        request_hash=identity.request_hash.hex(),
        idempotency_key=identity.idempotency_key,
        answer=answer,
    )
    match await runtime.store.start(change):
        case Started(created):
            await announce(runtime, change)
            return OpenedSession(answer, created)
        case NotStarted():
            opened = await opened_before(runtime, caller, identity)
            if opened is None:
                raise RuntimeError("a session with a derived id has an event with its key")
            return opened


async def open_child(runtime: Runtime, caller: Caller, change: Change, event_input: str) -> None:
    """Writes the start of a session by the step that then waits for it, and publishes its steps.

    If the step is another attempt's by now, or over, nothing is started.
    """
    change.client_event = ClientEvent(
        id=change.cause.id,
        name=change.event,
        input=event_input,
        created_by=caller.user_id,
        request_hash=request_hash(change.session_id).hex(),
        answer={"session_id": change.session_id},
    )
    match await runtime.store.start(change):
        case Started():
            await announce(runtime, change)
        case NotStarted():  # whoever has the step now starts its session
            return

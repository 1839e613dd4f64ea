"""Admitting an event: once per idempotency key, one at a time per session, all or nothing."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from app.access.caller import Caller
from app.enums import Quota
from app.errors import SessionBusyError
from app.flows.flow import Flow
from app.idempotency.request import request_hash
from app.kit.concurrency.off_loop import off_loop
from app.sessions.locks import HeldLock
from app.sessions.runtime import Runtime
from app.sessions.store.cause import Cause
from app.sessions.store.change import Change
from app.sessions.store.limits import with_message
from app.sessions.store.new_rows import ClientEvent
from app.sessions.store.outcome import Superseded
from app.sessions.store.snapshot import Snapshot
from app.sessions.turn.announce import announce
from app.sessions.turn.run import transition_run
from app.sessions.turn.transition_input import TransitionInput, refused_while_running
from app.sizes.limit import is_long
from app.wire.budget import Budget

# Other changes of the session that may win the race before the client gets a 409.
TRIES = 5


@dataclass(frozen=True, slots=True)
class EventRequest:
    """An event as a client sends it.

    Attributes:
        event: its name; None for the first that the session's state takes.
        content: the input as message blocks, where it came so.
        updates: values for those fields of the model that the flow has.
        idempotency_key: the same key with the same request is answered the same, once applied.
        resolve: finds further values for the model, of what the request names and of the session
            as it is; what was answered before is answered again without it.
        checked: whether it is one that only the service sends, having checked the request.
        budget: what holds beside the session's, where the client says.
        brings_work: whether it may start what an org has too much of; else it goes on with that.
    """

    event: str | None
    input: str
    content: list[dict[str, Any]] | None = None
    idempotency_key: str | None = None
    updates: dict[str, Any] = field(default_factory=dict)
    resolve: Callable[[Snapshot], Awaitable[dict[str, Any]]] | None = None
    checked: bool = False
    budget: Budget | None = None
    brings_work: bool = False

    @property
    def hash(self) -> bytes:
        """What tells another request with the same key."""
        budget = [] if self.budget is None else [self.budget.stored()]
        return request_hash(self.event, self.input, self.content, self.updates, *budget)

    @property
    def is_heavy(self) -> bool:
        """Whether it takes long to be read whole."""
        return is_long([self.input, self.content, self.updates])

    def client_event(
        self, caller: Caller, change: Change, answer: dict[str, Any], hash_: bytes
    ) -> ClientEvent:
        """The row that is kept of it, with its hash."""
        return ClientEvent(
            id=change.cause.id,
            name=change.event,
            input=self.input,
            created_by=caller.user_id,
            request_hash=hash_.hex(),
            idempotency_key=self.idempotency_key,
            answer=answer,
        )


async def admit(
    runtime: Runtime,
    caller: Caller,
    session_id: str,
    request: EventRequest,
    *,
    allow: Callable[[Snapshot], None],
    answer: Callable[[Snapshot, Flow, Change], dict[str, Any]],
) -> dict[str, Any]:
    """Applies an event to a session.

    `allow` raises where the caller may not send to the session; `answer` makes what the client
    gets, which is kept with the event.

    Raises:
        NotFoundError: there is no such session in the caller's org.
        EventNotAcceptedError: the state does not take the event, or an invocation runs.
        IdempotencyMismatchError: the key came before, with another request.
        SessionBusyError: others change the session all the time.
    """
    hash_ = await off_loop(lambda: request.hash, heavy=request.is_heavy)

    async def write(before: Snapshot, lock: HeldLock | None) -> dict[str, Any] | Superseded:
        flow = await runtime.catalog.get(before.org_id, before.flow, before.flow_revision)
        change = await _apply(runtime, flow, before, request)
        if request.brings_work and change.steps:
            caller.need(Quota.RUNNING_STEPS, Quota.STORED_BYTES)
        response = answer(before, flow, change)
        change.client_event = request.client_event(caller, change, response, hash_)
        if not await runtime.store.admit(change):
            return Superseded()
        await announce(runtime, change, lock)
        return response

    key = request.idempotency_key
    return await change_once(runtime, caller, session_id, key, hash_, allow=allow, write=write)


async def change_once(
    runtime: Runtime,
    caller: Caller,
    session_id: str,
    idempotency_key: str | None,
    request_hash: bytes,
    *,
    allow: Callable[[Snapshot], None],
    write: Callable[[Snapshot, HeldLock | None], Awaitable[dict[str, Any] | Superseded]],
) -> dict[str, Any]:
    """Changes a session once per idempotency key; the answer, or that of the first time.

    Args:
        runtime: of the process.
        caller: who wants it.
        session_id: what is changed.
        idempotency_key: of the request, if it has one.
        request_hash: tells another request with the same key.
        allow: raises where the caller may not change the session.
        write: changes the session as it was read, and gives the answer.

    Raises:
        NotFoundError: there is no such session in the caller's org.
        IdempotencyMismatchError: the key came before, with another request.
        SessionBusyError: others change the session all the time.
    """
    async with runtime.locks.hold(session_id) as lock:
        for _ in range(TRIES):
            before, previous = await runtime.store.load_for_event(
                caller.org_id, session_id, idempotency_key, caller.user_id
            )
            allow(before)
            if previous is not None:
                return previous.for_request(request_hash)
            match await write(before, lock):
                case Superseded():
                    continue
                case response:
                    return response
        raise SessionBusyError("The session changes all the time; try again.", retry_after=1)


async def _apply(runtime: Runtime, flow: Flow, before: Snapshot, request: EventRequest) -> Change:
    if before.invocation_id is not None:
        raise refused_while_running(before.state, request.event or "message")
    event = request.event or next(iter(flow.next_actions(before.state)), "message")
    resolved = await request.resolve(before) if request.resolve is not None else {}
    transition_input = TransitionInput(
        event,
        request.input,
        Cause.new_event(),
        content=request.content,
        updates=request.updates | resolved,
        checked=request.checked,
    )
    run = await transition_run(runtime, flow, before, transition_input, lambda run: run.send(event))
    if request.event is None and (before.budget or request.budget):
        run.change.budget = with_message(before.budget, request.budget)
    return await run.pack()

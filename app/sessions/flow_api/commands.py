"""Sessions of any flow: start them, send them events, ask how they are, read their models."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.access.caller import Caller
from app.enums import ThreadVisibility
from app.errors import NotFoundError
from app.flows.flow import Flow
from app.flows.model.session_model import SessionModel, parse_json
from app.flows.template import queue_names
from app.idempotency.request import request_hash
from app.kit.concurrency.off_loop import off_loop
from app.queue.live_workers import unserved_text
from app.sessions.flow_api.responses import (
    change_response,
    started_response,
    status_response,
)
from app.sessions.runtime import Runtime
from app.sessions.store.change import Change
from app.sessions.store.new_rows import NewSession
from app.sessions.store.snapshot import PollStatus, SessionHead
from app.sessions.turn.admission import EventRequest, admit
from app.sessions.turn.opening import StartIdentity, open_session, opened_before
from app.sessions.turn.resuming import retry_invocation
from app.sessions.turn.run import opening_run
from app.sessions.turn.transition_input import TransitionInput
from app.sessions.visibility import check_usable
from app.sizes.limit import is_long


@dataclass(frozen=True, slots=True)
class StartSession:
    """How a session starts.

    Attributes:
        user_info: who it is for, as the client knows that person.
        seed_data: values for the model's fields; or a text: see `_seed`.
        event: sent at once, with `event_input`; None to wait for the first.
        ttl: seconds after which the session is gone; None for one that stays.
    """

    user_info: dict[str, Any] | None = None
    seed_data: dict[str, Any] | str | None = None
    event: str | None = None
    event_input: str = ""
    ttl: int | None = None
    idempotency_key: str | None = None


async def start_session(
    runtime: Runtime, caller: Caller, key: str, start: StartSession
) -> dict[str, Any]:
    """Starts a session of a flow.

    Raises:
        NotFoundError: the org has no such flow.
        BadRequestError: the seed data do not fit the flow's model.
        IdempotencyMismatchError: the key came before, with another request.
        EventNotAcceptedError: the first state does not take the start's event.
    """
    request = (key, start.user_info, start.seed_data, start.event, start.event_input)
    heavy = is_long(list(request))
    hash_ = await off_loop(lambda: request_hash(*request), heavy=heavy)
    identity = StartIdentity(start.idempotency_key, hash_, (key,))
    if (before := await opened_before(runtime, caller, identity)) is not None:
        return before.answer
    flow = await runtime.catalog.get(caller.org_id, key)
    change = _change(caller, flow, start, identity.session_id(caller))
    model = await _seeded(flow, start.seed_data)
    model.session_id = change.session_id
    model.user_info = start.user_info
    transition_input = TransitionInput(change.event, start.event_input, change.cause)
    run = opening_run(runtime, flow, model, change, transition_input, heavy=heavy)
    await run.start()
    if start.event is not None:
        await run.send(start.event)
    await run.pack()
    opened = await open_session(
        runtime,
        caller,
        change,
        identity,
        event_input=start.event_input,
        answer=change_response(flow, change),
    )
    return opened.answer


async def send_event(
    runtime: Runtime, caller: Caller, key: str, session_id: str, request: EventRequest
) -> dict[str, Any]:
    """Sends an event to a session of a flow.

    Raises:
        NotFoundError: there is no such session of that flow.
        EventNotAcceptedError: the state does not take the event, or an invocation runs.
    """
    return await admit(
        runtime,
        caller,
        session_id,
        request,
        allow=lambda session: check_allowed(caller, key, session),
        answer=lambda _before, flow, change: change_response(flow, change),
    )


async def retry_session(  # noqa: PLR0917 - who asks for what, and how it is known again
    runtime: Runtime,
    caller: Caller,
    key: str,
    session_id: str,
    step: str | None,
    idempotency_key: str | None,
) -> dict[str, Any]:
    """Lets the invocation that failed in the last turn go on from the steps that failed.

    Raises:
        NotFoundError: there is no such session of that flow.
        NothingToRetryError: the last turn did not fail, or the session has moved on since.
        StepNotFailedError: the step is not one that has to be done again.
    """
    return await retry_invocation(
        runtime,
        caller,
        session_id,
        step=step,
        idempotency_key=idempotency_key,
        allow=lambda session: check_allowed(caller, key, session),
        answer=lambda before, _change: started_response(before.id),
    )


async def poll(
    runtime: Runtime, caller: Caller, key: str, session_id: str, seconds: float
) -> dict[str, Any]:
    """How a session is; held until its invocation ends, or makes progress, or the time is up."""
    status = await _watch(runtime, caller, key, session_id, seconds, _mark)
    return await _status_response(runtime, status)


async def task_state(
    runtime: Runtime, caller: Caller, key: str, session_id: str, seconds: float
) -> dict[str, Any]:
    """Whether a session is ready for an event, and for which; held until that changed."""
    status = await _watch(runtime, caller, key, session_id, seconds, lambda s: s.session.version)
    response = await _status_response(runtime, status)
    ready = response["next_actions"] != ["poll"]
    return {"session_id": session_id, "ready": ready, "next_actions": response["next_actions"]}


async def _status_response(runtime: Runtime, status: PollStatus) -> dict[str, Any]:
    session = status.session
    flow = await runtime.catalog.get(session.org_id, session.flow, session.flow_revision)
    response = status_response(flow, status)
    if session.invocation_id is not None and flow.has(session.state):
        queues = queue_names(flow.template(session.state))
        if unserved := await runtime.live_workers.unserved(queues):
            response["warnings"] = [unserved_text(queue) for queue in unserved]
    return response


async def _watch(  # noqa: PLR0917 - who asks for what, for how long, and what counts as a change
    runtime: Runtime,
    caller: Caller,
    key: str,
    session_id: str,
    seconds: float,
    mark: Callable[[PollStatus], object],
) -> PollStatus:
    first = await runtime.store.status(caller.org_id, session_id)
    check_allowed(caller, key, first.session)
    if not seconds or first.session.invocation_id is None:
        return first

    async def changed() -> PollStatus | None:
        now = await runtime.store.status(caller.org_id, session_id)
        return now if mark(now) != mark(first) else None

    most = runtime.settings.requests.session_waits
    return await runtime.wakeups.until(session_id, changed, seconds, most=most) or first


def _mark(status: PollStatus) -> tuple[object, ...]:
    actions = [action.id for action in status.open_actions]
    return status.session.version, status.total, status.done, actions


def check_allowed(caller: Caller, key: str, session: SessionHead) -> None:
    """Requires that the caller may use a session, and that it is one of the flow."""
    check_usable(caller, session)
    if session.flow != key:
        raise NotFoundError(f"There is no session {session.id!r} of flow {key!r}.")


def _change(caller: Caller, flow: Flow, start: StartSession, session_id: str) -> Change:
    new_session = NewSession(
        flow=flow.key,
        flow_revision=flow.revision,
        visibility=ThreadVisibility.ORG,
        created_by=caller.user_id,
        user_info=start.user_info,
        ttl=start.ttl,
    )
    return Change.opening(session_id, caller.org_id, new_session, event=start.event or "start")


async def _seeded(flow: Flow, data: dict[str, Any] | str | None) -> SessionModel:
    """The model of a new session; much data are checked in a thread."""
    return await off_loop(lambda: flow.seed(_seed(data)), heavy=is_long(data))


def _seed(data: dict[str, Any] | str | None) -> dict[str, Any]:
    """Values by field; a text is the JSON of them, or else the value of the field `seed_data`."""
    if not isinstance(data, str):
        return data or {}
    values = parse_json(data)
    return values if isinstance(values, dict) else {"seed_data": data}

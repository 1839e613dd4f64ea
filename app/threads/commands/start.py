"""Threads: sessions that are started, driven, cancelled and forked in the words of the client."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from app.access.caller import Caller
from app.catalog.model_profiles import check_model_profile, check_prices
from app.catalog.tools import find_tools
from app.db.models import MessageStatus
from app.enums import MessageRole, ThreadVisibility
from app.errors import (
    BadRequestError,
    EventNotAcceptedError,
    FieldError,
    NotFoundError,
    SessionBusyError,
    faults_within,
)
from app.flows.flow import Flow
from app.flows.library.chat import KEY
from app.flows.library.chat_machine import WAITING_FOR_RESULTS
from app.invokers.tool import ServerTool
from app.sessions.runtime import Runtime
from app.sessions.store.cause import Cause
from app.sessions.store.change import Change, NewMessage, NewSession, ParentStep, StepFence
from app.sessions.store.limits import session_budget
from app.sessions.store.snapshot import Snapshot
from app.sessions.turn.admission import TRIES, EventRequest, admit, request_hash
from app.sessions.turn.ending import close_invocation
from app.sessions.turn.opening import OpenedSession, Opening, open_session, opened_before
from app.sessions.turn.run import opening_run
from app.sessions.turn.transition_input import TransitionInput
from app.sessions.visibility import check_usable
from app.threads.commands.goals import (
    DECLARED,
    TURN_OF_GOALS,
    check_goals,
    check_takes_goals,
    declares_goals,
)
from app.threads.commands.skills import check_takes_skills, skills_of_message, skills_of_start
from app.threads.cursor import Cursor
from app.threads.dialogue import DialogueReader
from app.threads.record import changed_thread_fields, declared_goal_fields
from app.wire.budget import Budget
from app.wire.messages import InitialMessage, UserMessage, plain_text
from app.wire.thread_requests import SendMessageRequest, StartAgentThreadRequest
from app.wire.tools import NamedTool

_TITLE_CHARS = 80


@dataclass(frozen=True, slots=True)
class Launch:
    """A thread to be started, and the agent that it is of, if it is of one.

    The budget in `request` is then the agent's, and `budget` the launch's own.
    """

    request: StartAgentThreadRequest
    agent_id: str | None = None
    agent_revision: int | None = None
    budget: Budget | None = None


async def start_thread(
    runtime: Runtime,
    caller: Caller,
    request: StartAgentThreadRequest,
    *,
    idempotency_key: str | None = None,
) -> dict[str, Any]:
    """Starts a thread, and the first answer if its last message is the user's.

    Raises:
        BadRequestError: the org has no such flow, or not these tools.
        IdempotencyMismatchError: the key came before, with another request.
    """
    request = _with_user_s_turn(request)

    async def given() -> Launch:
        return Launch(request)

    return await launch_thread(runtime, caller, Opening(idempotency_key, _hash(request)), given)


async def launch_thread(
    runtime: Runtime,
    caller: Caller,
    opening: Opening,
    prepare: Callable[[], Awaitable[Launch]],
) -> dict[str, Any]:
    """Starts a thread from what `prepare` makes of an agent; see `start_thread`."""
    if (before := await opened_before(runtime, caller, opening)) is not None:
        return _record_with_times(before)
    launch = await prepare()
    change, new_session = await thread_opening(runtime, caller, launch, opening.session_id(caller))
    return await _open(runtime, caller, change, new_session, opening)


async def thread_opening(
    runtime: Runtime,
    caller: Caller,
    launch: Launch,
    session_id: str,
    parent: ParentStep | None = None,
) -> tuple[Change, NewSession]:
    """The start of a thread, to be written.

    Args:
        runtime: of the process.
        caller: whose thread it is.
        launch: what it starts with.
        session_id: its id.
        parent: the step that starts it, if one does.

    Raises:
        BadRequestError: the org has no such flow, or not these tools.
    """
    request = _with_user_s_turn(launch.request)
    flow = await _flow(runtime, caller, request.flow)
    tools = await _tools(runtime, caller, flow.key, request.tools)
    await check_model_profile(runtime.database, caller.org_id, request.model_profile)
    own, agent_s = launch.budget, request.budget
    if launch.agent_id is None:
        own, agent_s = agent_s, None
    for budget in (own, agent_s):
        await _check_prices(runtime, caller, flow.key, request.model_profile, budget)
    check_takes_skills(flow.key, request)
    skills = await skills_of_start(runtime, caller, request) if flow.key == KEY else {}
    new_session = NewSession(
        flow=flow.key,
        flow_revision=flow.revision,
        visibility=request.visibility,
        model_profile=request.model_profile,
        budget=session_budget(own, agent_s),
        created_by=caller.user_id,
        agent_id=launch.agent_id,
        agent_revision=launch.agent_revision,
        parent=parent,
    )
    await check_goals(runtime, caller, request.goals)
    title = _title(request.messages)
    change = Change.opening(session_id, caller.org_id, new_session, event="start", title=title)
    resolved = {"server_tools": tools, **skills}
    if any(budget is not None and budget.bounds_steps for budget in (own, agent_s)):
        resolved["max_steps"] = None
    await _enter(runtime, flow, request, change, resolved)
    return change, new_session


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
    opening = Opening(idempotency_key, request_hash(thread_id, last_message))
    if (before := await opened_before(runtime, caller, opening)) is not None:
        return _record_with_times(before)
    source = await runtime.store.load(caller.org_id, thread_id)
    check_usable(caller, source)
    if not 0 <= last_message < source.message_count:
        raise BadRequestError(
            f"The thread has {source.message_count} finished messages, counted from 0; "
            f"there is no message {last_message} to fork at.",
            errors=[{"loc": ["body", "message_sequence_num"], "msg": "out of range"}],
        )
    flow = await runtime.catalog.get(caller.org_id, source.flow, source.flow_revision)
    messages = await runtime.store.messages(thread_id)
    if messages[last_message].status is MessageStatus.GENERATING:
        raise BadRequestError(
            "The message still waits for results of tools; fork at one before it, or later.",
            errors=[{"loc": ["body", "message_sequence_num"], "msg": "not complete"}],
        )
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
    session_id = opening.session_id(caller)
    change = Change.opening(
        session_id, caller.org_id, new_session, event="fork", title=source.title
    )
    change.state = await _first_resting_state(flow)
    change.model = source.model
    change.stored = await runtime.store.values(source.id, source.stored_keys or ())
    change.messages = [
        NewMessage(message.role, message.content, message.status)
        for message in messages[: last_message + 1]
    ]
    return await _open(runtime, caller, change, new_session, opening)


async def send_message(
    runtime: Runtime,
    caller: Caller,
    thread_id: str,
    request: SendMessageRequest,
    idempotency_key: str | None,
) -> dict[str, Any]:
    """Says something in a thread; the answer is generated by a worker.

    Raises:
        NotFoundError: there is no such thread.
        ForbiddenError: it is somebody else's.
        BadRequestError: the org has not these tools, or the thread's flow takes none.
        EventNotAcceptedError: it is not the user's turn.
        IdempotencyMismatchError: the key came before, with another request.
    """
    said = request.message or (TURN_OF_GOALS if declares_goals(request) else None)
    text, blocks = _blocks(said) if said is not None else ("", [])

    def answer(before: Snapshot, _flow: Flow, change: Change) -> dict[str, Any]:
        # The sender has what it sent: what is new to it begins with the answer.
        return changed_thread_fields(before, change)

    def allow(session: Snapshot) -> None:
        check_usable(caller, session)
        _check_takes_tools(session.flow, request.tools)
        check_takes_skills(session.flow, request)
        if declares_goals(request):
            check_takes_goals(session)

    own = {"client_context", "analysis_scope", "client_tools", "tools", "invoke_skills"}
    updates = request.model_dump(mode="json", include=own | DECLARED, exclude_none=True)

    async def resolve() -> dict[str, Any]:
        await check_goals(runtime, caller, request.goals)
        if request.budget is not None and request.budget.bounds_cost:
            before = await runtime.store.load(caller.org_id, thread_id)
            await _check_prices(runtime, caller, before.flow, before.model_profile, request.budget)
        tools = await find_tools(
            runtime.database.pool, runtime.catalog, caller.org_id, request.tools or []
        )
        skills = await skills_of_message(runtime, caller, request)
        return {"server_tools": tools, **skills}

    event = EventRequest(
        None, text, blocks, idempotency_key, updates, resolve, budget=request.budget
    )
    return await admit(runtime, caller, thread_id, event, allow=allow, answer=answer)


async def cancel_thread(runtime: Runtime, caller: Caller, thread_id: str) -> None:
    """Stops the answer that is being generated, keeps what there is; without one, does nothing.

    Raises:
        NotFoundError: there is no such thread.
        ForbiddenError: it is somebody else's.
        SessionBusyError: others change the session all the time.
    """
    for _ in range(TRIES):
        view = await runtime.store.view(caller.org_id, thread_id)
        check_usable(caller, view.session)
        running = view.running
        if running is None:
            if view.session.state in WAITING_FOR_RESULTS:
                await _cancel_waiting(runtime, caller, thread_id)
            return
        before = await runtime.store.load(caller.org_id, thread_id)
        if before.invocation_id != running.invocation_id:
            continue
        text = await DialogueReader(runtime, view).partial_text()
        failure = TransitionInput(
            running.event,
            "",
            Cause.invocation(running.invocation_id),
            content=[{"content_type": "text", "text": text}] if text else None,
            error="Cancelled by the user.",
            cancelled=True,
            made_by=StepFence(running.step_id, running.attempt) if running.step_id else None,
        )
        if await close_invocation(runtime, before, running.invocation_id, failure):
            return
    raise SessionBusyError("The session changes all the time; try again.", retry_after=1)


async def _cancel_waiting(runtime: Runtime, caller: Caller, thread_id: str) -> None:
    """Ends a turn in which nothing runs: it waits for results that are not to come any more."""
    try:
        await admit(
            runtime,
            caller,
            thread_id,
            EventRequest("cancel", ""),
            allow=lambda session: check_usable(caller, session),
            answer=lambda before, _flow, change: changed_thread_fields(before, change),
        )
    except EventNotAcceptedError:  # they came meanwhile
        return


async def _flow(runtime: Runtime, caller: Caller, key: str) -> Flow:
    try:
        return await runtime.catalog.get(caller.org_id, key)
    except NotFoundError as error:
        fault: FieldError = {"loc": ["body", "flow"], "msg": error.detail}
        raise BadRequestError(error.detail, errors=[fault]) from None


async def _tools(
    runtime: Runtime, caller: Caller, flow: str, tools: Sequence[NamedTool] | None
) -> list[ServerTool]:
    _check_takes_tools(flow, tools)
    return await find_tools(runtime.database.pool, runtime.catalog, caller.org_id, tools or [])


def _check_takes_tools(flow: str, tools: Sequence[NamedTool] | None) -> None:
    """Raises `BadRequestError` where tools are named that no model would be offered."""
    if tools and flow != KEY:
        raise BadRequestError(
            f"Only the flow {KEY!r} calls tools, and this thread runs {flow!r}.",
            errors=[{"loc": ["body", "tools"], "msg": f"the flow {flow!r} calls no tools"}],
        )


async def _first_resting_state(flow: Flow) -> str:
    """Where a copy of a session starts: its flow's first state, unless that invokes something."""
    initial = await flow.initial_state()
    return flow.resting_state() or initial if flow.invokes(initial) else initial


async def _open(
    runtime: Runtime, caller: Caller, change: Change, new_session: NewSession, opening: Opening
) -> dict[str, Any]:
    """Writes a new thread; its record."""
    answer = _record_of(change, new_session)
    opened = await open_session(runtime, caller, change, opening, event_input="", answer=answer)
    return _record_with_times(opened)


def _record_with_times(opened: OpenedSession) -> dict[str, Any]:
    """The record of a thread that was started, with its times by the database's clock."""
    created = opened.created.isoformat()
    parts = {
        part: [one | {"created": created} for one in opened.answer[part]]
        for part in ("messages", "goals")
    }
    return opened.answer | {"created": created, **parts}


async def _enter(
    runtime: Runtime,
    flow: Flow,
    request: StartAgentThreadRequest,
    change: Change,
    resolved: dict[str, Any],
) -> None:
    """Enters the flow's first state, appends the seeded messages, sends the user's last one."""
    offered = request.model_dump(
        mode="json",
        include={
            "system_prompt",
            "model_profile",
            "client_context",
            "analysis_scope",
            "client_tools",
            "approvers",
            "approval_timeout",
            "approval_expiry",
        },
        exclude_none=True,
    )
    own = flow.model.own_fields()
    model = flow.model.seed({name: value for name, value in offered.items() if name in own})
    model.update(resolved)
    model.session_id = change.session_id
    if declares_goals(request):
        model.update(request.model_dump(mode="json", include=DECLARED, exclude_none=True))
    last = request.messages[-1] if request.messages else None
    text, blocks = _blocks(last) if last is not None else ("", [])
    given = TransitionInput("start", text, change.cause, content=blocks)
    run = opening_run(runtime, flow, model, change, given)
    await run.start()
    change.messages += [
        NewMessage(MessageRole(m.role), _blocks(m)[1]) for m in request.messages[:-1]
    ]
    actions = flow.next_actions(change.state)
    asks = last is None or last.role == "user"
    if asks and change.invocation is None and actions:
        await run.send(actions[0])
    elif last is not None:
        change.messages.append(NewMessage(MessageRole(last.role), blocks))
    run.pack()


def _with_user_s_turn(request: StartAgentThreadRequest) -> StartAgentThreadRequest:
    """The request with something for the user to say last, where there are goals to work on."""
    messages = request.messages
    if not declares_goals(request) or (messages and messages[-1].role == "user"):
        return request
    return request.model_copy(update={"messages": [*messages, TURN_OF_GOALS]})


async def _check_prices(
    runtime: Runtime, caller: Caller, flow: str, model_profile: str | None, budget: Budget | None
) -> None:
    """Refuses a bound of the cost of a model without prices; other flows name theirs inside."""
    if flow == KEY and budget is not None and budget.bounds_cost:
        with faults_within("body"):
            async with runtime.database.transaction() as db:
                await check_prices(db, caller.org_id, model_profile, runtime.settings.llm)


def _hash(request: StartAgentThreadRequest) -> bytes:
    """Tells another start of a thread; what differs each time that a client asks is no part."""
    return request_hash(
        request.model_dump(mode="json", exclude={"messages": {"__all__": {"created"}}})
    )


def _blocks(message: InitialMessage | UserMessage) -> tuple[str, list[dict[str, Any]]]:
    """A message's text, and its blocks as they are stored."""
    blocks = [block.model_dump(mode="json") for block in message.content]
    return plain_text(blocks), blocks


def _title(messages: list[InitialMessage]) -> str | None:
    """How the first message of the user begins."""
    first = next((_blocks(m)[0] for m in messages if m.role == "user"), "")
    line = " ".join(first.split())
    if len(line) > _TITLE_CHARS:
        line = line[: _TITLE_CHARS - 1].rstrip() + "…"
    return line or None


def _record_of(change: Change, new_session: NewSession) -> dict[str, Any]:
    """The record of a thread that starts, without its times."""
    return {
        "thread_id": change.session_id,
        "org_id": change.org_id,
        "created_by": new_session.created_by,
        "status": change.state,
        "title": change.title,
        "visibility": new_session.visibility,
        "model_profile": new_session.model_profile,
        "flow": new_session.flow,
        "created_from_agent_id": new_session.agent_id,
        "forked_from_thread_id": new_session.forked_from_id,
        "forked_from_message_sequence_num": new_session.forked_from_message,
        "messages": [
            {"role": m.role, "content": m.content, "status": m.status} for m in change.messages
        ],
        "goals": [declared_goal_fields(row) for row in change.goals],
        "continuation_token": Cursor(1, change.message_count).token(),
    }

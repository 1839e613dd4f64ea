"""Starting a thread: with its first messages, and its first answer where the user spoke last."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from app.access.caller import Caller
from app.catalog.model_profiles import check_model_profile
from app.enums import MessageRole
from app.errors import BadRequestError, FieldError, NotFoundError
from app.flows.flow import Flow
from app.flows.library.chat import KEY
from app.flows.model.session_model import SessionModel
from app.idempotency.request import request_hash
from app.kit.concurrency.off_loop import off_loop
from app.sessions.runtime import Runtime
from app.sessions.store.change import Change
from app.sessions.store.limits import bounds_steps, session_budget
from app.sessions.store.new_rows import NewMessage, NewSession, StepFence
from app.sessions.turn.opening import StartIdentity, opened_before
from app.sessions.turn.run import opening_run
from app.sessions.turn.transition_input import TransitionInput
from app.sizes.limit import is_long
from app.threads.commands.budget import check_budget_prices
from app.threads.commands.goals import DECLARED, check_goals, declares_goals, with_turn_of_goals
from app.threads.commands.new_thread import open_thread, record_with_times
from app.threads.commands.skills import check_takes_skills, skills_of_start
from app.threads.commands.tools import resolve_tools
from app.wire.budget import Budget
from app.wire.messages import InitialMessage, text_and_blocks
from app.wire.thread_requests import StartAgentThreadRequest

_TITLE_CHARS = 80


@dataclass(frozen=True, slots=True)
class ThreadStart:
    """A thread to be started, and the agent that it is of, if it is of one.

    The budget in `request` is then the agent's, and `budget` the launch's own. Where `request` has
    goals, its last message is the user's.
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
    request = with_turn_of_goals(request)
    hash_ = await off_loop(lambda: _hash(request), heavy=is_long(request))

    async def prepare() -> ThreadStart:
        return ThreadStart(request)

    return await start_prepared_thread(
        runtime, caller, StartIdentity(idempotency_key, hash_), prepare
    )


async def start_prepared_thread(
    runtime: Runtime,
    caller: Caller,
    identity: StartIdentity,
    prepare: Callable[[], Awaitable[ThreadStart]],
) -> dict[str, Any]:
    """Starts what `prepare` prepares, unless its key did before; see `start_thread`."""
    if (before := await opened_before(runtime, caller, identity)) is not None:
        return record_with_times(before)
    start = await prepare()
    change, new_session = await thread_opening(runtime, caller, start, identity.session_id(caller))
    return await open_thread(runtime, caller, change, new_session, identity)


async def thread_opening(
    runtime: Runtime,
    caller: Caller,
    start: ThreadStart,
    session_id: str,
    started_by: StepFence | None = None,
) -> tuple[Change, NewSession]:
    """The start of a thread, to be written.

    Args:
        runtime: of the process.
        caller: whose thread it is.
        start: what it starts with.
        session_id: its id.
        started_by: the attempt of a step that starts it, if one does.

    Raises:
        BadRequestError: the org has no such flow, or not these tools.
    """
    request = start.request
    flow = await _flow(runtime, caller, request.flow)
    tools = await resolve_tools(runtime, caller, flow.key, request.tools)
    await check_model_profile(runtime.database, caller.org_id, request.model_profile)
    own_budget, agent_budget = start.budget, request.budget
    if start.agent_id is None:
        own_budget, agent_budget = agent_budget, None
    for budget in (own_budget, agent_budget):
        await check_budget_prices(runtime, caller, flow.key, request.model_profile, budget)
    check_takes_skills(flow.key, request)
    skills = await skills_of_start(runtime, caller, request) if flow.key == KEY else {}
    new_session = NewSession(
        flow=flow.key,
        flow_revision=flow.revision,
        visibility=request.visibility,
        model_profile=request.model_profile,
        budget=session_budget(own_budget, agent_budget),
        created_by=caller.user_id,
        agent_id=start.agent_id,
        agent_revision=start.agent_revision,
    )
    await check_goals(runtime, caller, request.goals)
    title = _title(request.messages)
    change = Change.opening(
        session_id, caller.org_id, new_session, event="start", title=title, started_by=started_by
    )
    resolved: dict[str, Any] = {}
    if flow.key == KEY:  # of another flow these may be fields of its own
        resolved = {"server_tools": tools, **skills}
        if bounds_steps(new_session.budget):
            resolved["max_steps"] = None
    await _enter(runtime, flow, request, change, resolved)
    return change, new_session


async def _flow(runtime: Runtime, caller: Caller, key: str) -> Flow:
    try:
        return await runtime.catalog.get(caller.org_id, key)
    except NotFoundError as error:
        fault: FieldError = {"loc": ["body", "flow"], "msg": error.detail}
        raise BadRequestError(error.detail, errors=[fault]) from None


async def _enter(
    runtime: Runtime,
    flow: Flow,
    request: StartAgentThreadRequest,
    change: Change,
    resolved: dict[str, Any],
) -> None:
    """Enters the flow's first state, appends the seeded messages, sends the user's last one."""
    heavy = is_long(request)
    model = await off_loop(lambda: _seeded(flow, request, resolved), heavy=heavy)
    model.session_id = change.session_id
    said = await off_loop(lambda: [text_and_blocks(m) for m in request.messages], heavy=heavy)
    last = request.messages[-1] if request.messages else None
    text, blocks = said[-1] if said else ("", [])
    transition_input = TransitionInput("start", text, change.cause, content=blocks)
    run = opening_run(runtime, flow, model, change, transition_input, heavy=heavy)
    await run.start()
    change.messages += [
        NewMessage(MessageRole(message.role), content)
        for message, (_, content) in zip(request.messages[:-1], said[:-1], strict=True)
    ]
    actions = flow.next_actions(change.state)
    asks = last is None or last.role == "user"
    if asks and change.invocation is None and actions:
        await run.send(actions[0])
    elif last is not None:
        change.messages.append(NewMessage(MessageRole(last.role), blocks))
    await run.pack()


def _seeded(flow: Flow, request: StartAgentThreadRequest, resolved: dict[str, Any]) -> SessionModel:
    """The model of the flow with what the request offers it, and what was found of that."""
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
    declared: dict[str, Any] = {}
    if declares_goals(request):
        declared = request.model_dump(mode="json", include=DECLARED, exclude_none=True)
    model.update(resolved | declared)  # at once: what is not there is taken for none
    return model


def _hash(request: StartAgentThreadRequest) -> bytes:
    """Tells another start of a thread; what differs each time that a client asks is no part."""
    return request_hash(
        request.model_dump(mode="json", exclude={"messages": {"__all__": {"created"}}})
    )


def _title(messages: list[InitialMessage]) -> str | None:
    """How the first message of the user begins."""
    first = next((text_and_blocks(m)[0] for m in messages if m.role == "user"), "")
    words = first.split(maxsplit=_TITLE_CHARS)  # so many are longer than a title
    line = " ".join(words[:_TITLE_CHARS])
    if len(line) > _TITLE_CHARS:
        line = line[: _TITLE_CHARS - 1].rstrip() + "…"
    return line or None

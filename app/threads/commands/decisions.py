"""Deciding about an action: once, by who may, and the turn that waited for it goes on."""

from decimal import Decimal
from typing import Any

import orjson

from app.access.caller import Caller, KeyScope
from app.enums import ActionDecision, ActionKind, ActionStatus, Approvers
from app.errors import (
    BadRequestError,
    ConflictError,
    EventNotAcceptedError,
    ForbiddenError,
    SessionBusyError,
)
from app.flows.library.actions import DECISIONS, ActionNotOpenError, Resolution
from app.flows.machine import RESOLVE_EVENT
from app.sessions.runtime import Runtime
from app.sessions.store.budgets import is_used_up
from app.sessions.store.snapshot import ActionWithSession
from app.sessions.turn.admission import EventRequest, admit
from app.sessions.visibility import check_usable
from app.threads.commands.answers import answer_step, check_answer, check_fits
from app.wire.actions import ResolveActionRequest, action_fields

# How long a decision waits for a turn that goes on just now.
_BUSY_SECONDS = 5.0

_BY_OWNER = "the API key, with scope 'write', of who started the session"
_BY_SCOPE = "an API key with scope 'approve'"
_BY_ADMIN = "an API key with scope 'admin'"
_NEEDED: dict[Approvers | None, str] = {
    Approvers.OWNER: _BY_OWNER,
    Approvers.SCOPE: _BY_SCOPE,
    Approvers.ADMIN: _BY_ADMIN,
}
# Whose key decides, beside the owner's.
_SCOPES: dict[Approvers | None, KeyScope] = {
    None: KeyScope.APPROVE,
    Approvers.SCOPE: KeyScope.APPROVE,
    Approvers.ADMIN: KeyScope.ADMIN,
}


# The kinds whose approval may bring arguments.
_WITH_ARGUMENTS = (ActionKind.APPROVAL, ActionKind.BUDGET)


class ActionResolvedError(ConflictError):
    """The action ended already, and otherwise; carries how."""

    code = "action-resolved"
    title = "Action resolved"


async def action_record(runtime: Runtime, caller: Caller, action_id: str) -> dict[str, Any]:
    """The record of an action.

    Raises:
        NotFoundError: there is no such action.
        ForbiddenError: its session is private, and somebody else's.
    """
    return action_fields((await _usable(runtime, caller, action_id)).action)


async def resolve_action(
    runtime: Runtime, caller: Caller, action_id: str, request: ResolveActionRequest
) -> dict[str, Any]:
    """Decides about an action; one that was decided the same way already stays as it is.

    Raises:
        NotFoundError: there is no such action.
        ForbiddenError: the caller may not decide about it.
        ActionResolvedError: it ended otherwise.
        BadRequestError: it cannot be decided like this.
        SessionBusyError: the turn goes on just now, and did not come to rest in time.
    """
    session_id = (await _usable(runtime, caller, action_id)).session.id

    async def attempt() -> dict[str, Any] | None:
        asked = await _usable(runtime, caller, action_id)
        _check_approver(caller, asked, request.decision)
        if asked.action.status is not ActionStatus.OPEN:
            return _ended_alike(asked, request)
        _check_request(asked, request)
        if asked.action.kind is ActionKind.BUDGET:
            await _check_raise(runtime, asked, request)
        if asked.action.step_id is not None:
            answered = await answer_step(runtime, caller, asked, request)
            return await action_record(runtime, caller, action_id) if answered else None
        if asked.session.invocation_id is not None:
            return None
        if not await _decide(runtime, caller, asked, request):
            return None
        return await action_record(runtime, caller, action_id)

    record = await runtime.wakeups.until(session_id, attempt, _BUSY_SECONDS)
    if record is None:
        raise SessionBusyError("The turn goes on just now; try again.", retry_after=1)
    return record


async def _usable(runtime: Runtime, caller: Caller, action_id: str) -> ActionWithSession:
    asked = await runtime.store.action(caller.org_id, action_id)
    check_usable(caller, asked.session)
    return asked


def _check_approver(caller: Caller, asked: ActionWithSession, decision: ActionDecision) -> None:
    approvers = asked.action.approvers
    scope = _SCOPES.get(approvers)
    by_scope = scope is not None and caller.has(scope)
    is_owner = asked.session.created_by == caller.user_id and caller.has(KeyScope.WRITE)
    owner_decides = approvers in (None, Approvers.OWNER)
    # Who started a session may end its turn, whoever may let it take more.
    stops = asked.action.kind is ActionKind.BUDGET and decision is ActionDecision.DENY
    if not (by_scope or (is_owner and (owner_decides or stops))):
        needed = _NEEDED.get(approvers, f"{_BY_SCOPE}, or {_BY_OWNER}")
        raise ForbiddenError(f"This needs {needed}.")


def _ended_alike(asked: ActionWithSession, request: ResolveActionRequest) -> dict[str, Any]:
    """The record of an action that ended before, if the request decides the same."""
    record, own = action_fields(asked.action), asked.action.arguments
    decided = (record["decision"], record["decided_arguments"], record["result"])
    again = (request.decision, request.arguments, request.result)
    if _with_arguments(decided, own) != _with_arguments(again, own):
        raise ActionResolvedError(
            f"The action is {asked.action.status} already.", extra={"action": record}
        )
    return record


def _with_arguments(decided: tuple[Any, Any, Any], own: object) -> bytes:
    """A decision as JSON, so that 1 is not true; without arguments it is about the call's own."""
    decision, arguments, result = decided
    whole = [decision, own if arguments is None else arguments, result]
    return orjson.dumps(whole, option=orjson.OPT_SORT_KEYS)


def _check_request(asked: ActionWithSession, request: ResolveActionRequest) -> None:
    kind = asked.action.kind
    if request.decision not in DECISIONS[kind]:
        one_of = ", ".join(DECISIONS[kind])
        raise _bad("decision", f"An action of kind {kind} takes one of {one_of}.")
    has_result = request.result is not None or _answers_with_null(kind, request)
    if has_result is not (request.decision is ActionDecision.ANSWER):
        raise _bad("result", "An answer has a result, and no other decision does.")
    if kind is ActionKind.INPUT:
        check_answer(asked, request)
    elif isinstance(request.result, bool | int | float):
        raise _bad("result", "What a call gave back is a text, an object or a list.")
    if request.arguments is None:
        return
    if kind not in _WITH_ARGUMENTS or request.decision is not ActionDecision.APPROVE:
        raise _bad("arguments", "Only with an approval may arguments be changed.")
    check_fits(asked.action.answer_schema or {}, request.arguments, "arguments")


async def _check_raise(
    runtime: Runtime, asked: ActionWithSession, request: ResolveActionRequest
) -> None:
    """Refuses a decision about a budget that would lead to the same question again.

    Without a new limit the turn goes on where the budget has room again: where another turn had it
    raised, or another day began.

    Raises:
        BadRequestError: the new limit is missing, or not over the old one and what was used.
    """
    if request.decision is not ActionDecision.APPROVE:
        return
    [(bound, limit)] = asked.action.arguments["limit"].items()
    used = Decimal(str(asked.action.arguments["used"]))
    reached = max(used, Decimal(str(limit)))
    if request.arguments is None:
        # What is left of a turn's or a session's is never more than it was.
        stays_short = used < reached and asked.action.arguments["period"] != "day"
        if stays_short or await is_used_up(runtime.database.pool, asked.session):
            msg = f'The budget is used up: say the new limit, as {{"{bound}": …}}.'
            raise _bad("arguments", msg)
        return
    if Decimal(str(request.arguments[bound])) <= reached:
        msg = f"The new limit must be over {reached:f}; {used:f} is used, and it was {limit}."
        raise _bad("arguments", msg)


def _answers_with_null(kind: ActionKind, request: ResolveActionRequest) -> bool:
    return kind is ActionKind.INPUT and "result" in request.model_fields_set


def _bad(member: str, detail: str) -> BadRequestError:
    return BadRequestError(detail, errors=[{"loc": ["body", member], "msg": detail}])


async def _decide(
    runtime: Runtime, caller: Caller, asked: ActionWithSession, request: ResolveActionRequest
) -> bool:
    """Sends the decision to the session; False: it moved on meanwhile."""
    action_id = asked.action.id
    resolution = Resolution(action_id=action_id, **request.model_dump())
    event = EventRequest(RESOLVE_EVENT, resolution.model_dump_json(), checked=True)
    try:
        await admit(
            runtime,
            caller,
            asked.session.id,
            event,
            allow=lambda session: check_usable(caller, session),
            answer=lambda _before, _flow, _change: {"action_id": action_id},
        )
    except (EventNotAcceptedError, ActionNotOpenError):
        return False
    return True

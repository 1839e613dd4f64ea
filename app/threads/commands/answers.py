"""Answers to what steps of flows ask: checked against their schema, and given to the step."""

import json
from typing import Any

from app.access.caller import Caller
from app.enums import ActionDecision, ActionStatus
from app.errors import BadRequestError, FieldError
from app.flows.library.actions import Resolution
from app.kit.schemas.json_schema import schema_findings
from app.sessions.runtime import Runtime
from app.sessions.store.asks import AskedStep
from app.sessions.store.outcome import Superseded
from app.sessions.store.snapshot import ActionWithSession
from app.wire.actions import ResolveActionRequest

MAX_RESULT_CHARS = 256_000  # of its JSON; as what a tool gives back


_STATUS = {
    ActionDecision.ANSWER: ActionStatus.ANSWERED,
    ActionDecision.APPROVE: ActionStatus.APPROVED,
    ActionDecision.DENY: ActionStatus.DENIED,
}


def check_answer(asked: ActionWithSession, request: ResolveActionRequest) -> None:
    """Raises `BadRequestError` for an answer that is too large, or does not fit the schema."""
    if request.decision is not ActionDecision.ANSWER:
        return
    if len(_text(request.result)) > MAX_RESULT_CHARS:
        detail = f"The answer is longer than {MAX_RESULT_CHARS} characters."
        raise BadRequestError(detail, errors=[{"loc": ["body", "result"], "msg": detail}])
    check_fits(asked.action.answer_schema or {}, request.result, "result")


def check_fits(schema: dict[str, Any], value: object, member: str) -> None:
    """Raises `BadRequestError` for a member of a body that does not fit a schema.

    All its faults are listed, the first also in words.
    """
    faults: list[FieldError] = [
        {"loc": ["body", member, *place], "msg": text}
        for place, text in schema_findings(schema, value)
    ]
    if faults:
        place = ".".join(str(part) for part in faults[0]["loc"][1:])
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise BadRequestError(f"{place}: {faults[0]['msg']}{more}", errors=faults)


async def answer_step(
    runtime: Runtime, caller: Caller, asked: ActionWithSession, request: ResolveActionRequest
) -> bool:
    """Ends an ask, and lets its step go on; False: it has ended, or its step does not wait now.

    Where a budget was raised, the step has no result, but makes its request.
    """
    answers = request.decision is ActionDecision.ANSWER
    action_id = asked.action.id
    ended = await runtime.asks.resolve(
        caller.org_id,
        action_id,
        _STATUS[request.decision],
        Resolution(action_id=action_id, **request.model_dump()).stored,
        caller.user_id,
        _text(request.result) if answers else None,
    )
    match ended:
        case Superseded():
            return False
        case AskedStep(due, session_id):
            await runtime.queue.publish([due], wake=session_id)
            return True


def _text(result: Any) -> str:
    """An answer as the result of a step: a text as it is, anything else as JSON."""
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)

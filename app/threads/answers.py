"""Answers to what steps of flows ask: checked against their schema, and given to the step."""

import json
from typing import Any

from app.access.caller import Caller
from app.enums import ActionDecision, ActionStatus
from app.errors import BadRequestError, FieldError
from app.flows.library.actions import Resolution
from app.kit.json_schema import schema_findings
from app.sessions.runtime import Runtime
from app.sessions.store.snapshot import StoredAction
from app.wire.actions import ResolveActionRequest

MAX_RESULT_CHARS = 256_000  # of its JSON; as what a tool gives back


def check_answer(action: StoredAction, request: ResolveActionRequest) -> None:
    """Raises `BadRequestError` for an answer that is too large, or does not fit the schema."""
    if request.decision is not ActionDecision.ANSWER:
        return
    if len(_text(request.result)) > MAX_RESULT_CHARS:
        detail = f"The answer is longer than {MAX_RESULT_CHARS} characters."
        raise BadRequestError(detail, errors=[{"loc": ["body", "result"], "msg": detail}])
    findings = schema_findings(action.columns["answer_schema"], request.result)
    faults: list[FieldError] = [
        {"loc": ["body", "result", *place], "msg": text} for place, text in findings
    ]
    if faults:
        raise BadRequestError("The answer does not fit the schema.", errors=faults)


async def answer_step(
    runtime: Runtime, caller: Caller, action: StoredAction, request: ResolveActionRequest
) -> bool:
    """Ends an ask, and lets its step go on; False: it has ended, or its step does not wait now."""
    answers = request.decision is ActionDecision.ANSWER
    action_id = action.columns["id"]
    asked = await runtime.asks.resolve(
        caller.org_id,
        action_id,
        ActionStatus.ANSWERED if answers else ActionStatus.DENIED,
        Resolution(action_id=action_id, **request.model_dump()).stored,
        caller.user_id,
        _text(request.result) if answers else None,
    )
    if asked is None:
        return False
    await runtime.queue.publish([asked.due], wake=asked.session_id)
    return True


def _text(result: Any) -> str:
    """An answer as the result of a step: a text as it is, anything else as JSON."""
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)

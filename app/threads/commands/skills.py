"""The skills of a thread: those that its model may load, and those that a message invokes."""

from typing import Any

from app.access.caller import Caller
from app.errors import BadRequestError, faults_within
from app.flows.library.chat import KEY
from app.sessions.runtime import Runtime
from app.skills.service import OfferedSkill, SkillText, resolve_versions, subscribed_versions
from app.wire.skills import SkillSpec
from app.wire.thread_requests import SendMessageRequest, StartAgentThreadRequest

_IS_SUBSCRIBED = """
SELECT EXISTS (SELECT 1 FROM skill_subscription WHERE user_id = $1 AND ai_version IS NOT NULL)"""

# Of all texts that one request has put into a session.
MAX_CHARACTERS = 1_000_000


async def skills_of_start(
    runtime: Runtime, caller: Caller, request: StartAgentThreadRequest
) -> dict[str, Any]:
    """What a new thread keeps of skills, as `Chat.update` takes it.

    Those that the request lists are kept with their texts: later changes of them do not reach the
    thread. Without a list each message brings what its sender is subscribed to.

    Raises:
        NotFoundError: a skill is not there for the caller; the errors say which.
        BadRequestError: they are too long together.
    """
    # Most users are subscribed to none: that is asked without a transaction.
    is_subscribed = await runtime.database.pool.fetchval(_IS_SUBSCRIBED, caller.user_id)
    found = await skills_of_message(runtime, caller, request, is_subscribed=is_subscribed)
    if request.available_skills is None:
        return found
    texts = await _texts(runtime, caller, request.available_skills, "available_skills")
    return found | {"fixed_skills": texts}


def check_takes_skills(flow: str, request: StartAgentThreadRequest | SendMessageRequest) -> None:
    """Refuses skills where no model is to be given them.

    Raises:
        BadRequestError: the thread runs another flow than `chat`.
    """
    if flow == KEY or not request.invoke_skills:
        return
    detail = f"Skills are for threads of the flow {KEY}; this one runs {flow!r}."
    raise BadRequestError(detail, errors=[{"loc": ["body", "invoke_skills"], "msg": detail}])


async def skills_of_message(
    runtime: Runtime,
    caller: Caller,
    request: StartAgentThreadRequest | SendMessageRequest,
    *,
    is_subscribed: bool,
) -> dict[str, Any]:
    """What a message brings of skills, as `Chat.update` takes it.

    Args:
        runtime: of the process.
        caller: who sends it.
        request: which skills it invokes.
        is_subscribed: whether the caller is subscribed to any.

    Raises:
        NotFoundError: a skill is not there for the caller; the errors say which.
        BadRequestError: they are too long together.
    """
    texts = await _texts(runtime, caller, request.invoke_skills, "invoke_skills")
    subscribed: list[OfferedSkill] = []
    if is_subscribed:
        async with runtime.database.transaction() as db:
            subscribed = await subscribed_versions(db, caller)
    return {"invoked_skills": texts, "subscribed_skills": subscribed}


async def _texts(
    runtime: Runtime, caller: Caller, specs: list[SkillSpec], name: str
) -> list[SkillText]:
    if not specs:
        return []
    references = [(spec.skill_id, spec.version) for spec in specs]
    with faults_within("body", name):
        async with runtime.database.transaction() as db:
            texts = await resolve_versions(db, caller, references)
    if sum(len(text.body) for text in texts) > MAX_CHARACTERS:
        detail = f"The skills have more than {MAX_CHARACTERS:,} characters together."
        raise BadRequestError(detail, errors=[{"loc": ["body", name], "msg": detail}])
    return texts

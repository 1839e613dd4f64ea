"""Retrying the turn of a thread whose answer failed."""

from typing import Any

from app.access.caller import Caller
from app.sessions.runtime import Runtime
from app.sessions.turn.resuming import retry_invocation
from app.sessions.visibility import check_usable
from app.threads.record import changed_thread_fields


async def retry_thread(
    runtime: Runtime,
    caller: Caller,
    thread_id: str,
    step: str | None,
    idempotency_key: str | None,
) -> dict[str, Any]:
    """Lets the answer that failed be generated again, to the same message of the user.

    Raises:
        NotFoundError: there is no such thread.
        ForbiddenError: it is somebody else's.
        NothingToRetryError: the last turn did not fail, or the thread has moved on since.
        StepNotFailedError: the step is not one that has to be done again.
    """
    return await retry_invocation(
        runtime,
        caller,
        thread_id,
        step=step,
        idempotency_key=idempotency_key,
        allow=lambda session: check_usable(caller, session),
        answer=changed_thread_fields,
    )

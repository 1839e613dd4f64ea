"""The body of a prompt, and the wait for its answer."""

from collections.abc import Sequence
from typing import Any

from app.access.caller import Caller
from app.errors import AnswerTimeoutError, BadRequestError, StoppingError, TurnFailedError
from app.manifests.journal import Entry
from app.sessions.runtime import Runtime
from app.sessions.store.snapshot import SessionWithInvocation
from app.threads.record import last_output
from app.wire.messages import is_cut, plain_text


def single(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The one document of a body.

    Raises:
        BadRequestError: there are several.
    """
    if len(documents) > 1:
        msg = f"one document is asked for, and here are {len(documents)}"
        raise BadRequestError(f"body: {msg}.", errors=[{"loc": ["body"], "msg": msg}])
    return documents[0]


async def wait_for_answer(
    runtime: Runtime, caller: Caller, session_id: str, entry: Entry
) -> dict[str, Any]:
    """Waits until nothing runs in a session any more.

    Returns:
        `{session_id, response, cut, status}`: the last answer's text, whether it ended at the limit
        of its length, and the session's state; `output` where the agent's `output_schema` got one.

    Raises:
        AnswerTimeoutError: the time was up; the session goes on.
        StoppingError: the process is to stop; the session goes on.
        TurnFailedError: the turn ended with an error.
    """
    entry.detail["sessionId"] = session_id
    seconds = runtime.settings.session.prompt_wait_seconds

    async def check() -> SessionWithInvocation | None:
        view = await runtime.store.view(caller.org_id, session_id)
        return view if view.running is None else None

    view = await runtime.wakeups.until(session_id, check, seconds)
    # The texts are kept in the journal, which others of the org read: the id stays out of them.
    if view is None and runtime.wakeups.are_ended:
        raise StoppingError(
            "The server is stopping, and the answer has not come yet; the session goes on.",
            extra={"session_id": session_id},
            retry_after=1,
        )
    if view is None:
        raise AnswerTimeoutError(
            f"The answer did not come within {seconds:g} seconds; the session goes on.",
            extra={"session_id": session_id},
        )
    if view.session.task_error is not None:
        raise TurnFailedError(
            "The agent's turn failed.",
            extra={"session_id": session_id, "error": view.session.task_error},
        )
    content = await runtime.store.last_answer(session_id)
    output = last_output(view.goals)
    return {
        "session_id": session_id,
        "response": plain_text(content),
        "cut": is_cut(content),
        "status": view.session.state,
        **({} if output is None else {"output": output}),
    }

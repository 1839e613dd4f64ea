"""The launch for a prompt: the agent's template with the prompt in it or as its last message."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from app.agents.record import AgentRecord
from app.db.models import Session
from app.errors import BadRequestError, NotFoundError
from app.manifests.context import Context
from app.manifests.model.envelope import valid_input
from app.manifests.model.metadata import ManifestModel
from app.sessions.visibility import select_sessions
from app.threads.commands.launch import prepare_launch
from app.threads.commands.start import ThreadStart
from app.wire.messages import InitialMessage
from app.wire.thread_requests import LaunchAgentRequest, SendMessageRequest

PROMPT = "prompt"
_MAX_PROMPT = 200_000


class Prompt(ManifestModel):
    """The body of a prompt: the text, and values for the agent's other variables."""

    prompt: str = Field(min_length=1, max_length=_MAX_PROMPT)
    values: dict[str, Annotated[str, Field(max_length=_MAX_PROMPT)]] = Field({}, max_length=500)
    session: str | None = Field(None, max_length=200)


@dataclass(frozen=True, slots=True)
class Reply:
    """What is said in a session that is there."""

    session_id: str
    request: SendMessageRequest


async def launch_of(context: Context, agent: AgentRecord, body: dict[str, Any]) -> ThreadStart:
    """The launch for a prompt.

    A variable named `prompt` takes the text; without one, the text is the last message.

    Raises:
        BadRequestError: the body is no prompt, or the agent's variables need other values.
    """
    with valid_input(Prompt):
        prompt = Prompt.model_validate(body)
    declared = any(variable.name == PROMPT for variable in agent.variables)
    if declared and PROMPT in prompt.values:
        raise BadRequestError("values.prompt: the agent's variable `prompt` takes the prompt.")
    values = prompt.values | ({PROMPT: prompt.prompt} if declared else {})
    message = None
    if not declared:
        wire = {"role": "user", "content": [{"text": prompt.prompt}]}
        message = InitialMessage.model_validate(wire)
    return await prepare_launch(
        context.db,
        context.caller,
        agent,
        LaunchAgentRequest(values=values),
        message=message,
    )


async def reply_of(context: Context, agent_id: str, body: dict[str, Any]) -> Reply:
    """What a prompt says in a session of an agent.

    Raises:
        NotFoundError: the session is not there, or of another agent.
        BadRequestError: the body is no such prompt.
    """
    with valid_input(Prompt):
        prompt = Prompt.model_validate(body)
    if prompt.values:
        msg = "a session has its values already"
        raise BadRequestError(f"values: {msg}.", errors=[{"loc": ["values"], "msg": msg}])
    session_id = prompt.session or ""
    query = select_sessions(context.caller).where(
        Session.id == session_id, Session.agent_id == agent_id
    )
    if (await context.db.exec(query)).first() is None:
        raise NotFoundError(f"The agent has no session {session_id!r}.")
    wire = {"role": "user", "content": [{"text": prompt.prompt}]}
    return Reply(session_id, SendMessageRequest.model_validate({"message": wire}))

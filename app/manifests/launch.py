"""The launch for a prompt: the agent's template with the prompt in it or as its last message."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from app.agents.record import AgentRecord
from app.agents.resolve import resolve_agent
from app.errors import BadRequestError
from app.manifests.context import Context
from app.manifests.model.envelope import valid_input
from app.manifests.model.metadata import ManifestModel
from app.threads.commands import AgentOrigin
from app.wire.messages import InitialMessage
from app.wire.thread_requests import LaunchAgentRequest, StartAgentThreadRequest

PROMPT = "prompt"
_MAX_PROMPT = 200_000


class Prompt(ManifestModel):
    """The body of a prompt: the text, and values for the agent's other variables."""

    prompt: str = Field(min_length=1, max_length=_MAX_PROMPT)
    values: dict[str, Annotated[str, Field(max_length=_MAX_PROMPT)]] = Field({}, max_length=500)


@dataclass(frozen=True, slots=True)
class Launch:
    """A session to be started, and the agent that it is of."""

    request: StartAgentThreadRequest
    agent: AgentOrigin


async def launch_of(context: Context, agent: AgentRecord, body: dict[str, Any]) -> Launch:
    """The launch for a prompt.

    A variable named `prompt` takes the text; without one, the text is the last message.

    Raises:
        BadRequestError: the body is no prompt, or the agent's variables need other values.
    """
    with valid_input():
        prompt = Prompt.model_validate(body)
    declared = any(variable.name == PROMPT for variable in agent.variables)
    if declared and PROMPT in prompt.values:
        raise BadRequestError("values.prompt: the agent's variable `prompt` takes the prompt.")
    values = prompt.values | ({PROMPT: prompt.prompt} if declared else {})
    launch = LaunchAgentRequest(values=values)
    request = await resolve_agent(context.db, context.caller, agent, launch)
    if not declared:
        message = {"role": "user", "content": [{"text": prompt.prompt}]}
        messages = [*request.messages, InitialMessage.model_validate(message)]
        request = request.model_copy(update={"messages": messages})
    origin = AgentOrigin(agent.agent_id, agent.revision, prompt.model_dump())
    return Launch(request, origin)

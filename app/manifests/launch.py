"""The launch for a prompt: the agent's template with the prompt in it or as its last message."""

from typing import Annotated, Any

from pydantic import Field

from app.agents.record import AgentRecord
from app.errors import BadRequestError
from app.manifests.context import Context
from app.manifests.model.envelope import valid_input
from app.manifests.model.metadata import ManifestModel
from app.threads.commands import Launch
from app.threads.launch import prepare_launch
from app.wire.messages import InitialMessage
from app.wire.thread_requests import LaunchAgentRequest

PROMPT = "prompt"
_MAX_PROMPT = 200_000


class Prompt(ManifestModel):
    """The body of a prompt: the text, and values for the agent's other variables."""

    prompt: str = Field(min_length=1, max_length=_MAX_PROMPT)
    values: dict[str, Annotated[str, Field(max_length=_MAX_PROMPT)]] = Field({}, max_length=500)


async def launch_of(context: Context, agent: AgentRecord, body: dict[str, Any]) -> Launch:
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

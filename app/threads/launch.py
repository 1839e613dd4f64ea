"""The launch of an agent: its placeholders filled, so that a thread can be started from it."""

from sqlmodel.ext.asyncio.session import AsyncSession

from app.access.caller import Caller
from app.agents.record import AgentRecord
from app.agents.resolve import resolve_agent
from app.threads.commands import Launch
from app.wire.messages import InitialMessage
from app.wire.thread_requests import LaunchAgentRequest


async def prepare_launch(
    db: AsyncSession,
    caller: Caller,
    agent: AgentRecord,
    values: LaunchAgentRequest,
    *,
    message: InitialMessage | None = None,
) -> Launch:
    """Fills an agent's placeholders; nothing is started, and no transaction waits for what is.

    Args:
        db: the transaction that reads.
        caller: who launches.
        agent: as it is stored.
        values: for its placeholders.
        message: said after the messages of the template.

    Raises:
        BadRequestError: the agent's variables need other values.
    """
    request = await resolve_agent(db, caller, agent, values)
    if message is not None:
        request = request.model_copy(update={"messages": [*request.messages, message]})
    return Launch(request, agent.agent_id, agent.revision, values.budget)

"""The launch of an agent, by a client or by a step; and other sessions that steps start."""

from dataclasses import replace

from pydantic import ValidationError
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access.caller import Caller
from app.agents.record import AgentRecord
from app.agents.resolve import resolve_agent
from app.agents.service import get_agent_by_name
from app.errors import BadRequestError
from app.invokers.chat import read_chat
from app.sessions.runtime import Runtime
from app.sessions.steps.attempts.children import AgentCall, ChatCall, ChildCall, FlowCall
from app.sessions.store.change import Change
from app.sessions.store.claim import Claim
from app.sessions.store.new_rows import NewSession
from app.sessions.turn.opening import open_child
from app.sessions.turn.run import opening_run
from app.sessions.turn.transition_input import TransitionInput
from app.threads.commands.goals import with_turn_of_goals
from app.threads.commands.start import ThreadStart, thread_opening
from app.wire.client_context import ClientViewingContext
from app.wire.messages import InitialMessage
from app.wire.thread_requests import LaunchAgentRequest, StartAgentThreadRequest


async def prepare_launch(
    db: AsyncSession,
    caller: Caller,
    agent: AgentRecord,
    launch: LaunchAgentRequest,
    *,
    message: InitialMessage | None = None,
) -> ThreadStart:
    """Fills an agent's placeholders; nothing is started, and no transaction waits for what is.

    Args:
        db: the transaction that reads.
        caller: who launches.
        agent: as it is stored.
        launch: has values for its placeholders.
        message: said after the messages of the template.

    Raises:
        BadRequestError: the agent's variables need other values.
    """
    request = await resolve_agent(db, caller, agent, launch)
    if message is not None:
        request = request.model_copy(update={"messages": [*request.messages, message]})
    return ThreadStart(with_turn_of_goals(request), agent.agent_id, agent.revision, launch.budget)


class SessionOpener:
    """The opener of workers: a session belongs to whom that of its step belongs to."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def open(self, claim: Claim, child_id: str, call: ChildCall) -> None:
        """See `app.sessions.steps.attempts.children.ChildOpener`."""
        caller = Caller.owner(claim.session.org_id, claim.session.created_by)
        if isinstance(call, FlowCall):
            change = await self._start_with_event(caller, claim, child_id, call)
            await open_child(self._runtime, caller, change, call.input)
            return
        if isinstance(call, ChatCall):
            start = ThreadStart(_chat_request(claim, call))
        else:
            start = await self._launched(caller, claim, call)
        change, _ = await thread_opening(
            self._runtime,
            caller,
            start,
            child_id,
            claim.fence,
        )
        await open_child(self._runtime, caller, change, "")

    async def _launched(self, caller: Caller, claim: Claim, call: AgentCall) -> ThreadStart:
        try:
            launch = LaunchAgentRequest.model_validate(
                {
                    "values": call.values,
                    "visibility": claim.session.visibility,
                    "analysis_scope": call.about.get("analysis_scope"),
                }
            )
        except ValidationError as error:
            raise BadRequestError(f"The agent cannot be launched so: {_faults(error)}.") from None
        async with self._runtime.database.transaction() as db:
            agent = await get_agent_by_name(db, caller, call.agent)
            start = await prepare_launch(db, caller, agent, launch)
        shown = call.about.get("client_context")
        if shown is None or start.request.client_context is not None:
            return start
        context = ClientViewingContext.model_validate(shown)
        return replace(start, request=start.request.model_copy(update={"client_context": context}))

    async def _start_with_event(
        self, caller: Caller, claim: Claim, child_id: str, call: FlowCall
    ) -> Change:
        """The start of a session of a flow that is sent its first event."""
        flow = await self._runtime.catalog.get(caller.org_id, call.flow)
        new_session = NewSession(
            flow=flow.key,
            flow_revision=flow.revision,
            visibility=claim.session.visibility,
            created_by=caller.user_id,
            user_info=claim.session.user_info,
        )
        change = Change.opening(
            child_id,
            caller.org_id,
            new_session,
            event=call.event or "start",
            started_by=claim.fence,
        )
        model = flow.seed({})
        model.session_id = child_id
        transition_input = TransitionInput(change.event, call.input, change.cause)
        run = opening_run(self._runtime, flow, model, change, transition_input)
        await run.start()
        event = call.event or next(iter(flow.next_actions(change.state)), None)
        if event is not None and change.invocation is None:
            await run.send(event)
        await run.pack()
        return change


def _chat_request(claim: Claim, call: ChatCall) -> StartAgentThreadRequest:
    """The start of a thread in which a model does what a step asks of it.

    Raises:
        BadRequestError: what it is asked is empty, or too long.
    """
    said = read_chat(call.content)
    system = "\n\n".join(message.content for message in said if message.role == "system")
    try:
        return StartAgentThreadRequest.model_validate(
            {
                "system_prompt": system or None,
                "model_profile": call.profile,
                "visibility": claim.session.visibility,
                "tools": call.tools,
                "messages": [
                    {"role": message.role, "content": [{"text": message.content}]}
                    for message in said
                    if message.role != "system"
                ],
            }
        )
    except ValidationError as error:
        raise BadRequestError(f"The model cannot be asked so: {_faults(error)}.") from None


def _faults(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{fault['loc'][-1]}: {fault['msg']}" for fault in faults[:3])

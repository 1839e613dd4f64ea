"""The flow by which a step was planned, and the step's place in it."""

from enum import Enum, auto

from app.errors import DefinitionMismatchError, NotFoundError
from app.flows.flow import Flow
from app.flows.graph import Graph, Unwrapped
from app.flows.select import select
from app.invokers.invoker import InvokerError
from app.queue.live_workers import Served
from app.sessions.runtime import Runtime
from app.sessions.store.claim import Claim


class FlowMissingError(Exception):
    """This worker does not have the step's flow as it was planned; another may."""


class PlannedCode(Enum):
    """Where the code of the flow is by which a step was planned."""

    HERE = auto()  # also that of a flow of a manifest, whose revision is named
    ELSEWHERE = auto()  # a worker that lives has it, and serves the step's queue
    GONE = auto()  # no worker has it any more
    UNKNOWN = auto()  # not here, and Redis did not say who else has it


class PlannedFlows:
    """Finds the flows of the steps of one worker."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def find(self, claim: Claim) -> tuple[Flow, Unwrapped]:
        """The flow, and the template of the step in it.

        Raises:
            FlowMissingError: this worker does not have it as it was planned.
            InvokerError: nobody has it any more.
        """
        session = claim.session
        try:
            flow = await self._runtime.catalog.get(
                session.org_id, session.flow, session.flow_revision
            )
        except (NotFoundError, DefinitionMismatchError) as error:
            raise FlowMissingError(f"A worker does not have flow {session.flow!r}.") from error
        return flow, await self._node_of(flow, claim)

    async def _node_of(self, flow: Flow, claim: Claim) -> Unwrapped:
        try:
            return Graph(flow.node(claim.state), {}, select).find(claim.path)[0]
        except (DefinitionMismatchError, LookupError) as error:
            if await self.planned_code(flow, claim) is PlannedCode.GONE:
                raise InvokerError(f"Flow {flow.key!r} was changed while it ran.") from error
            raise FlowMissingError(f"A worker does not have flow {flow.key!r}.") from error

    async def planned_code(self, flow: Flow, claim: Claim) -> PlannedCode:
        """Where the code is by which the step was planned."""
        planned = claim.flow_fingerprint
        if planned in (None, flow.fingerprint):
            return PlannedCode.HERE
        match await self._runtime.live_workers.serve(claim.queue, planned):
            case Served.YES:
                return PlannedCode.ELSEWHERE
            case Served.NO:
                return PlannedCode.GONE
            case Served.UNKNOWN:
                return PlannedCode.UNKNOWN

"""Frees sessions that wait for an invocation that is not there, which only a defect makes."""

from structlog import get_logger

from app.errors import DefinitionMismatchError, NotFoundError
from app.flows.flow import Flow
from app.sessions.runtime import Runtime
from app.sessions.store.snapshot import IdleSession
from app.sessions.turn.ending import free_stranded

log = get_logger(__name__)

# Of one look: the rows that it reads, and the flows that it may have to compile.
_MOST_SESSIONS = 1000
_MOST_FLOWS = 20


class Watchdog:
    """Walks through all sessions, a bounded part at each look, and frees those that are stranded.

    A session is stranded in an invoker state while no invocation runs, or when it names an
    invocation that is over: no client can send it an event, and nothing else ever comes.

    Only the flow knows which of its states invoke something, and a flow may be code. So the rows
    are judged here, by the flows that this worker has, rather than in SQL; the sessions of a flow
    that it does not have are left to the workers that do. The walk follows the primary key, hence
    it needs no index of its own, which every change of a session would have to pay for.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._after = ""

    async def look(self) -> None:
        """Looks at the sessions that come next; after the last one, starts again."""
        flows: dict[tuple[str, str, int], Flow | None] = {}
        sessions = await self._runtime.store.idle(self._after, _MOST_SESSIONS)
        for session in sessions:
            key = (session.org_id, session.flow, session.flow_revision)
            if key not in flows:
                if len(flows) == _MOST_FLOWS:
                    return
                flows[key] = await self._flow(session)
            self._after = session.id
            flow = flows[key]
            if flow is not None and _is_stranded(session, flow):
                await self._free(session, flow)
        if len(sessions) < _MOST_SESSIONS:
            self._after = ""

    async def _flow(self, session: IdleSession) -> Flow | None:
        try:
            return await self._runtime.catalog.get(
                session.org_id, session.flow, session.flow_revision
            )
        except (NotFoundError, DefinitionMismatchError):
            return None

    async def _free(self, session: IdleSession, flow: Flow) -> None:
        try:
            before = await self._runtime.store.load(session.org_id, session.id)
        except NotFoundError:
            return
        if before.version == session.version and await free_stranded(self._runtime, flow, before):
            log.error(
                "a session had no invocation to wait for",
                session_id=session.id,
                org_id=session.org_id,
                flow=session.flow,
                state=session.state,
            )


def _is_stranded(session: IdleSession, flow: Flow) -> bool:
    if not flow.has(session.state) or flow.resting_state() is None:
        return False  # nothing that could be done would help
    return session.invocation_id is not None or flow.invokes(session.state)

"""Sends the events of timers whose time has come; each once, since it is the transition's cause."""

from structlog import get_logger

from app.errors import DefinitionMismatchError, EventRefusedError, NotFoundError, public_text
from app.sessions.runtime import Runtime
from app.sessions.store.cause import Cause
from app.sessions.store.change import Change
from app.sessions.store.chart_memory import ChartMemory, PendingTimer
from app.sessions.store.snapshot import Snapshot
from app.sessions.store.step_store import DueSession
from app.sessions.turn.announce import announce
from app.sessions.turn.ending import is_infrastructure
from app.sessions.turn.run import transition_run
from app.sessions.turn.transition_input import TransitionInput

log = get_logger(__name__)

_BATCH = 20  # sessions that one worker takes at once, so that the others have some too


async def send_due(runtime: Runtime) -> None:
    """Sends the events of all timers whose time has come, those of one session one by one.

    A session is taken for the length of a step's lease. A worker that dies with it, or does not
    have its flow, leaves it to the others after that.
    """
    lease = runtime.settings.step.lease_seconds
    while taken := await runtime.store.take_timers(lease, _BATCH):
        for due in taken:
            try:
                await _send(runtime, due)
            except (NotFoundError, DefinitionMismatchError):  # gone, or not this worker's to send
                continue
            except Exception as error:  # noqa: BLE001 - the others are not to wait for this one
                log.warning("timer not sent yet", session_id=due.id, error=type(error).__name__)


async def _send(runtime: Runtime, due: DueSession) -> None:
    before = await runtime.store.load(due.org_id, due.id)
    timers = ChartMemory.from_column(before.chart).timers
    timer = next((timer for timer in timers if timer.is_due(due.moment)), None)
    if timer is None or before.invocation_id is not None:  # the session went on meanwhile
        return
    try:
        change = await _event_change(runtime, before, timer)
    except Exception as error:
        elsewhere = isinstance(error, NotFoundError | DefinitionMismatchError)
        if elsewhere or is_infrastructure(error):
            raise
        log.info("the event of a timer was dropped", session_id=before.id, timer=timer.event)
        change = _drop_change(before, timer, public_text(error))
    change.chart = change.chart.without(timer.id)
    if await runtime.store.admit(change):
        await announce(runtime, change)


async def _event_change(runtime: Runtime, before: Snapshot, timer: PendingTimer) -> Change:
    flow = await runtime.catalog.get(before.org_id, before.flow, before.flow_revision)
    await _check_number(runtime, before)
    if timer.state not in before.state.split():  # an earlier release left it, and knew no timers
        raise EventRefusedError(f"The state {timer.state!r} was left.")
    transition_input = TransitionInput(timer.event, timer.input, Cause.timer(timer.id))
    run = await transition_run(
        runtime, flow, before, transition_input, lambda run: run.send(timer.event)
    )
    return await run.pack()


async def _check_number(runtime: Runtime, before: Snapshot) -> None:
    """Raises `EventRefusedError` where timers have led to each other for too long without anybody.

    Each of their events made a version, so a session with fewer versions need not be asked about.
    """
    most = runtime.settings.session.max_unattended_changes
    if before.version <= most:
        return
    if before.version - await runtime.store.last_event_version(before.id, of_client=True) >= most:
        raise EventRefusedError(f"Nobody has acted in the last {most} changes of the session.")


def _drop_change(before: Snapshot, timer: PendingTimer, reason: str) -> Change:
    """The session as it is, with an entry in its log."""
    cause = Cause.timer(timer.id)
    change = Change.of(before, cause=cause, event=timer.event, error=before.task_error)
    change.model = before.model
    change.refusal = reason
    return change

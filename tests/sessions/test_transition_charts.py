"""Random statecharts through the real engine, over rows in memory: nothing is ever stuck.

Clients, workers and models act in any order: events that fit or not, answers, failures, lost
leases, cancels, deadlines, timers and retries.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, cast

from hypothesis import Phase, assume, example, given, note, reject, settings
from hypothesis import strategies as st
from statemachine.exceptions import InvalidDefinition
from structlog.testing import capture_logs

from app.access.caller import Caller, KeyScope
from app.errors import FlowPackageError, NotFoundError, StatewrightError
from app.flows.flow import Flow
from app.invokers.invoker import InvocationContext, InvokerError, TransientInvokerError
from app.sessions.flow_api.commands import (
    StartSession,
    retry_session,
    send_event,
    start_session,
)
from app.sessions.runtime import Runtime
from app.sessions.steps.attempts.attempt import AttemptRunner
from app.sessions.steps.leases import Leases
from app.sessions.steps.runner import StepRunner
from app.sessions.steps.sweep.deadlines import end_overdue
from app.sessions.steps.sweep.timers import send_due
from app.sessions.steps.sweep.watchdog import Watchdog
from app.sessions.store.cause import Cause, CauseKind
from app.sessions.store.chart_memory import ChartMemory, PendingTimer
from app.sessions.turn.admission import EventRequest
from app.sessions.turn.ending import close_invocation
from app.sessions.turn.transition_input import TransitionInput
from app.settings import SessionSettings, Settings
from tests.support.charts import TEXTS, flow_of_failures, manifest_flows
from tests.support.code_charts import CodeChart, code_charts, loaded
from tests.support.session_rows import SessionsInMemory

CALLER = Caller("org", "usr", "", "key", frozenset({KeyScope.ADMIN}))
EVENTS = ["go", "back", "one", "error", "nonsense", None]
SETTINGS = Settings(dev=True, session=SessionSettings(max_invocations_per_turn=8))

_event = st.tuples(
    st.just("event"), st.sampled_from(EVENTS), st.sampled_from(TEXTS), st.sampled_from("abc")
)
_number = st.integers(0, 3)
actions = st.lists(
    st.one_of(
        _event,
        st.tuples(st.just("work"), _number),
        st.tuples(st.just("answer"), _number, st.sampled_from(TEXTS)),
        st.tuples(st.just("answer"), _number, st.sampled_from(TEXTS)),
        st.tuples(st.just("fail"), _number, st.booleans()),
        st.tuples(st.just("lose"), _number),
        st.tuples(st.just("retry"), st.sampled_from("abc")),
        st.tuples(st.sampled_from(["cancel", "deadline", "cancel_without_flow"])),
        st.tuples(st.sampled_from(["timer", "timer_without_flow"])),
    ),
    min_size=5,
    max_size=25,
)


class Invokers:
    """Invokers whose calls wait until the test says what comes of them."""

    history = None

    def __init__(self) -> None:
        self.calls: list[asyncio.Future[str]] = []

    def resolve(self, *_: Any, **__: Any) -> "Invokers":
        return self

    async def invoke(self, _content: str, _context: InvocationContext) -> str:
        call: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.calls.append(call)
        try:
            return await call
        finally:
            self.calls.remove(call)


class Surroundings:
    """What the engine needs beside its rows: one flow, and nobody to tell of anything."""

    def __init__(self, flow: Flow) -> None:
        self.flow: Flow | None = flow

    async def get(self, _org_id: str, _key: str, _revision: int | None = None) -> Flow:
        if self.flow is None:
            raise NotFoundError("There is no such flow.")
        return self.flow

    async def resolve(self, _org_id: str, name: str, config: Any) -> tuple[str, Any]:
        return name, config

    async def withdraw(self, _session_id: str) -> None:
        """No step of these charts asks."""

    async def publish(self, *_: Any, **__: Any) -> None:
        """Workers look by themselves, and leases find out by themselves."""

    def notify_soon(self, _session_id: str) -> None:
        """Nobody waits."""

    @asynccontextmanager
    async def hold(self, _session_id: str) -> AsyncIterator[None]:
        yield None


class Play:
    """One session of a flow, and all who act on it."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.ends = {state.id for state in flow.machine.states_map.values() if state.final}
        self.rows = SessionsInMemory()
        self.invokers = Invokers()
        self.around: Any = Surroundings(flow)
        store = cast(Any, self.rows)
        self.runtime = Runtime(
            settings=SETTINGS,
            database=cast(Any, None),
            redis=cast(Any, None),
            store=store,
            usage=cast(Any, None),
            asks=self.around,
            answers=self.around,
            catalog=self.around,
            queue=self.around,
            wakeups=self.around,
            cancellations=self.around,
            live_workers=self.around,
            locks=self.around,
        )
        attempts = AttemptRunner(
            self.runtime, cast(Any, self.invokers), self.around, cast(Any, None)
        )
        self._runner = StepRunner(self.runtime, attempts, Leases(store, 1.0), ["default"])
        self._working: set[asyncio.Task[None]] = set()

    async def run(self, first: str | None, played: list[Any]) -> None:
        """Play it to its end, and check after each act."""
        start = StartSession(event=first, event_input=TEXTS[0])
        if await self._allowed(start_session(self.runtime, CALLER, self.flow.key, start)):
            for name, *arguments in played:
                await getattr(self, f"_{name}")(*arguments)
                await self._settle()
                self._check()
            await self._finish()
        for task in self._working:
            task.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)

    async def _event(self, event: str | None, text: str, key: str) -> None:
        name = event or next(iter(self.flow.next_actions(self.rows.session.state)), "go")
        request = EventRequest(name, text, idempotency_key=key)
        known, version = key in self.rows.answers, self.rows.session.version
        sent = send_event(self.runtime, CALLER, self.flow.key, self.rows.session.id, request)
        if await self._allowed(sent):
            assert self.rows.session.version == version + (not known)
        else:
            assert self.rows.session.version == version

    async def _work(self, number: int) -> None:
        if queued := self.rows.queued():
            self._start(queued[number % len(queued)])

    async def _answer(self, number: int, text: str) -> None:
        if calls := self.invokers.calls:
            calls[number % len(calls)].set_result(text)

    async def _fail(self, number: int, passing: bool) -> None:
        if calls := self.invokers.calls:
            error = TransientInvokerError if passing else InvokerError
            calls[number % len(calls)].set_exception(error("The model is ill."))

    async def _lose(self, number: int) -> None:
        """The lease of a step lapses: another worker takes it, while the first goes on."""
        if held := self.rows.held():
            step_id = held[number % len(held)]
            self.rows.lapsed.add(step_id)
            self._start(step_id)

    async def _retry(self, key: str) -> None:
        await self._allowed(
            retry_session(
                self.runtime,
                CALLER,
                self.flow.key,
                self.rows.session.id,
                step=None,
                idempotency_key=key,
            )
        )

    async def _cancel(self) -> None:
        session, running = self.rows.session, self.rows.running
        if running is not None:
            failure = TransitionInput(
                running.new.event,
                "",
                Cause.invocation(running.new.id),
                error="Cancelled by the user.",
                cancelled=True,
            )
            assert await close_invocation(self.runtime, session, running.new.id, failure)
            assert self.rows.running is None

    async def _cancel_without_flow(self) -> None:
        """A process without the flow ends an invocation; then comes the watchdog of one with it."""
        self.around.flow = None
        await self._cancel()
        self.around.flow = self.flow
        await Watchdog(self.runtime).look()

    async def _deadline(self) -> None:
        self.rows.is_overdue = True
        await end_overdue(self.runtime)
        self.rows.is_overdue = False

    async def _timer(self) -> None:
        """The time of a timer has come; its event is sent, or given up."""
        timers, version = self._timers(), self.rows.session.version
        self.rows.is_timer_due = True
        await send_due(self.runtime)
        sent = bool(timers) and self.rows.running is None
        changed = self.rows.session.version > version
        assert changed or not sent or self.around.flow is None
        if changed:
            assert timers[0] not in self._timers()

    async def _timer_without_flow(self) -> None:
        """A worker without the flow leaves the timer to one that has it."""
        before = self._timers()
        self.around.flow = None
        await self._timer()
        self.around.flow = self.flow
        assert self._timers() == before

    def _timers(self) -> list[PendingTimer]:
        return list(ChartMemory.from_column(self.rows.session.chart).timers)

    async def _finish(self) -> None:
        """At the end somebody cancels, and nothing runs any more."""
        await self._cancel()
        await self._settle()
        self._check()
        version = self.rows.session.version
        await Watchdog(self.runtime).look()
        assert self.rows.session.version == version

    def _start(self, step_id: str) -> None:
        self._working.add(asyncio.create_task(self._runner.run(step_id)))

    async def _settle(self) -> None:
        """Let workers go on until each waits for a model."""
        for _ in range(200):
            for _ in range(5):
                await asyncio.sleep(0)
            for task in [task for task in self._working if task.done()]:
                self._working.remove(task)
                task.result()
            waiting = [call for call in self.invokers.calls if not call.done()]
            if len(self._working) == len(waiting) == len(self.invokers.calls):
                return
        raise AssertionError("the workers never come to rest")

    async def _allowed(self, request: Coroutine[Any, Any, Any]) -> bool:
        """Whether a client's request was taken; a refusal is no fault, any other error is."""
        try:
            await request
        except StatewrightError:
            return False
        return True

    def _check(self) -> None:
        session, running, flow = self.rows.session, self.rows.running, self.flow
        assert flow.has(session.state)
        if flow.invokes(session.state):
            assert running is not None
            assert running.new.state == session.state
            assert self.rows.queued() or self.rows.held()
        else:
            assert session.invocation_id is None
            assert flow.next_actions(session.state) or session.state.split()[-1] in self.ends
        assert {timer.state for timer in self._timers()} <= {*session.state.split()}
        assert session.version == len(self.rows.transitions)
        assert session.task_error == self.rows.transitions[-1].error
        for before, change in pairwise(self.rows.transitions):  # an error stays until then
            if change.cause.kind is CauseKind.EVENT:
                assert change.error is None
            elif before.error is not None:
                assert change.error is not None


# A chart that fails is shown as it was found: to make it smaller takes minutes.
@settings(max_examples=60, phases=[Phase.explicit, Phase.generate], derandomize=True)
@example(flow_of_failures(), "go", [("cancel",)])
@example(flow_of_failures(), "go", [("work", 0), ("fail", 0, False)] * 2)
@given(manifest_flows(), st.none() | st.sampled_from(EVENTS), actions)
def test_there_is_always_a_state_in_which_somebody_can_act(
    flow: Flow, first: str | None, played: list[Any]
) -> None:
    note(str(flow.description))
    with capture_logs():  # to write down each fault of a flow takes longer than all the rest
        asyncio.run(Play(flow).run(first, played))


@settings(max_examples=40, phases=[Phase.explicit, Phase.generate], derandomize=True)
@given(code_charts(), st.none() | st.sampled_from(EVENTS), actions)
def test_so_there_is_in_flows_in_code_whose_hooks_fail(
    chart: CodeChart, first: str | None, played: list[Any]
) -> None:
    note(chart.source)
    refusal = ""
    try:
        with loaded(chart) as flow, capture_logs():
            asyncio.run(Play(flow).run(first, played))
    except InvalidDefinition:  # of the library: some state does not lead to the end, for example
        reject()
    except FlowPackageError as error:
        refusal = str(error)
    assert chart.has_circle() == ("go round for ever" in refusal)
    assume(chart.has_circle() or not refusal)

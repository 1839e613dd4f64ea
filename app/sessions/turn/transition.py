"""The way from a session and an event to a change: in memory, by the statechart."""

from datetime import UTC, datetime
from typing import Self

from app.db.models import MessageStatus
from app.enums import MessageRole
from app.errors import EventNotAcceptedError, EventRefusedError
from app.flows.flow import Entered, Flow
from app.flows.machine import ERROR_EVENT
from app.flows.model.session_model import SessionModel
from app.flows.move import Recording, TurnMessage
from app.flows.rendering.dialogue_format import DialogueElement
from app.flows.rendering.jinja import TemplateError, storable
from app.flows.template import Render
from app.flows.timers import MAX_PENDING
from app.invokers.invoker import Finish
from app.kit.concurrency.off_loop import off_loop
from app.sessions.store.cause import CauseKind
from app.sessions.store.change import Change
from app.sessions.store.new_rows import NewInvocation, NewMessage
from app.sessions.store.snapshot import Snapshot
from app.sessions.turn.history import MOST_MESSAGES, recent
from app.sessions.turn.limits import TurnLimits
from app.sessions.turn.planning import plan_steps
from app.sessions.turn.rendering import ReadDialogue, RenderSource
from app.sessions.turn.transition_input import (
    TransitionInput,
    failure_message,
    refused_while_running,
    said_by_user,
)
from app.sizes.limit import SizeLimitError, is_long
from app.wire.messages import ErrorCode, error_block, plain_text

_CUT = "{} ended at the limit of its length."


class EndlessFailureError(Exception):
    """A circle of invoker states: no event leads a failure out of them."""


class TransitionRun:
    """One event applied to one session, in memory; `change` is what it comes to.

    Args:
        flow: what the session runs.
        model: the session's; it is changed.
        change: of the session, still without what the event does.
        transition_input: what is sent.
        read_dialogue: reads the dialogue as it was before the change.
        limits: of the invocation that it may start.
        heavy: whether what is done with all of the model takes long.
    """

    def __init__(
        self,
        flow: Flow,
        model: SessionModel,
        change: Change,
        transition_input: TransitionInput,
        *,
        read_dialogue: ReadDialogue,
        limits: TurnLimits,
        heavy: bool = False,
    ) -> None:
        self._flow = flow
        self._model = model
        self._input = transition_input
        self._read_dialogue = read_dialogue
        self._limits = limits
        self._failure: NewMessage | None = None
        self._heavy = heavy or is_long([transition_input.input, transition_input.updates])
        self.change = change

    @classmethod
    async def of(
        cls,
        flow: Flow,
        before: Snapshot,
        transition_input: TransitionInput,
        *,
        read_dialogue: ReadDialogue,
        limits: TurnLimits,
    ) -> Self:
        """What is to be done to a stored session. An error stays until the user's next event.

        Raises:
            DefinitionMismatchError: the stored session does not fit the flow.
        """
        model = await before.open_model(flow)
        await off_loop(
            lambda: model.update(transition_input.updates), heavy=is_long(transition_input.updates)
        )
        error = transition_input.error or (before.task_error if transition_input.internal else None)
        change = Change.of(
            before, cause=transition_input.cause, event=transition_input.event, error=error
        )
        run = cls(flow, model, change, transition_input, read_dialogue=read_dialogue, limits=limits)
        run._heavy = run._heavy or before.is_heavy
        return run

    async def start(self) -> None:
        """Enters the flow's initial state."""
        await self._enter(await self._flow.start(self._model))

    async def send(self, event: str) -> None:
        """Sends an event with the input to the statechart, and reacts to the state it enters.

        Raises:
            EventNotAcceptedError: the state does not take the event, or it was only now entered
                and invokes something: its invocation is to end first.
        """
        if self.change.invocation is not None:
            raise refused_while_running(self.change.state, event)
        await self._enter(await self._move(event, self._input.input))
        if self._input.finish is Finish.LENGTH:
            self._mark_cut()

    async def fail(self, left_states: set[str]) -> None:
        """Leads a failed invocation out of its chain of invoker states; the dialogue says why.

        A state that takes the event `error`, which has the error as its input, says itself what
        follows. Any other gets the event that ends it, with empty input; the next invoker state
        must not act on that, and is left too. So is what follows `error`, where the user cancelled:
        nothing is to be invoked any more.

        Args:
            left_states: those that earlier failures of the same turn left; none is entered again.

        Raises:
            EventNotAcceptedError: a state takes neither.
            EndlessFailureError: all that follows are invoker states that were left already.
        """
        self._failure = failure_message(self._input)
        self.change.messages.append(self._failure)
        left, results = left_states.copy(), self._input.results
        while self.change.state not in left:
            left.add(self.change.state)
            entered = await self._take_error()
            takes_error = entered is not None
            if entered is None:
                entered = await self._move(self._flow.ending_event(self.change.state), results)
                results = ""
            goes_on = takes_error and not self._input.cancelled and entered.target not in left
            if goes_on or not self._flow.invokes(entered.target):
                await self._enter(entered)
                return
            self._record(entered)
        raise EndlessFailureError(f"State {self.change.state!r} does not end with a failure.")

    async def _take_error(self) -> Entered | None:
        """Where the state says that a failure leads; None: it does not say."""
        if not self._flow.takes_error(self.change.state):
            return None
        try:
            return await self._move(ERROR_EVENT, self._input.error or "")
        except EventNotAcceptedError:  # none of its guards holds
            return None

    async def pack(self) -> Change:
        """The change, with the model as it is stored.

        Raises:
            SizeLimitError: the model is too large.
        """
        if self._flow.invokes(self.change.state) and self.change.invocation is None:
            raise AssertionError(f"nothing would ever leave state {self.change.state!r}")
        compression, most = self._limits.compression, self._limits.model_values
        await off_loop(
            lambda: self.change.pack(self._model, compression=compression, max_values=most),
            heavy=self._heavy,
        )
        return self.change

    async def _move(self, event: str, actor_input: str) -> Entered:
        self._model.actor_input = actor_input
        self._model.task_error = self.change.error
        return await self._flow.send(
            self.change.state,
            self._model,
            event,
            actor_input,
            internal=self._input.internal or self._input.checked,
        )

    async def _enter(self, entered: Entered) -> None:
        self._record(entered)
        template = self._flow.template(entered.target)
        if not isinstance(template, Render):
            await self._invoke()
        elif entered.recording is Recording.RENDERED:
            await self._show(template)

    def _record(self, entered: Entered) -> None:
        """Takes over the state, and what the transition says by itself."""
        change, move = self.change, entered.move
        change.state = self._model.state = entered.target
        change.chart = change.chart.moved(entered.left, entered.timers, entered.cancelled)
        if len(change.chart.timers) > MAX_PENDING:
            raise EventRefusedError(f"More than {MAX_PENDING} timers would run in the session.")
        change.actions += move.actions
        change.messages += [
            NewMessage.text(MessageRole(role), storable(text)) for role, text in entered.messages
        ]
        for message in (one for one in move.messages if not one.behind):
            self._say(message)
        if entered.recording is Recording.RAW:
            change.messages += self._raw(entered.source)
        change.add_goals(move.goal_changes)
        for message in (one for one in move.messages if one.behind):
            self._say(message)

    def _raw(self, source: str | None) -> list[NewMessage]:
        """What came with the event, as it came: what an invocation gave is not what a user says."""
        if source is None or self._input.cause.kind is CauseKind.TIMER:
            return []
        if not self._flow.invokes(source):
            return [said_by_user(self._input)]
        if not self._input.input:
            return []
        message = NewMessage.text(MessageRole.ASSISTANT, self._input.input)
        message.made_by = self._input.made_by
        return [message]

    def _say(self, added: TurnMessage) -> None:
        status = MessageStatus.COMPLETED if added.complete else MessageStatus.GENERATING
        if added.failed:
            status = MessageStatus.FAILED
        message = NewMessage(added.role, added.content, status, reasoning=added.reasoning)
        if added.grows:
            self.change.growth = message
            return
        if added.role is MessageRole.ASSISTANT:
            message.made_by = self._input.made_by
        if added.role is MessageRole.ROBOTO and self._failure is not None:
            # Results stand directly behind their calls.
            self.change.messages.insert(self.change.messages.index(self._failure), message)
            return
        self.change.messages.append(message)

    async def _show(self, template: Render) -> None:
        """Renders the state's template into the dialogue; its fault is an error in the session."""
        try:
            text = await self._source().render(template.text)
        except (TemplateError, SizeLimitError) as error:
            fault = f"Template of state {self.change.state!r}: {error}"
            self.change.error = f"{self.change.error}\n{fault}" if self.change.error else fault
            return
        if text:
            message = NewMessage.text(MessageRole.ASSISTANT, text)
            message.made_by = self._input.made_by
            self.change.messages.append(message)

    def _mark_cut(self) -> None:
        """Has the last message that came of a cut answer say so."""
        answers = (m for m in reversed(self.change.messages) if m.role is MessageRole.ASSISTANT)
        if (message := next(answers, None)) is not None:
            what = "A part of the answer" if self._input.made_by is None else "The answer"
            message.content.append(error_block(_CUT.format(what), ErrorCode.CUT_BY_LENGTH))

    async def _invoke(self) -> None:
        """Plans the steps of the invoker state that was entered."""
        change, flow, limits = self.change, self._flow, self._limits
        change.invocation = NewInvocation(
            change.state,
            flow.ending_event(change.state),
            self._model.actor_input,
            limits.invocation_seconds,
            flow.fingerprint,
        )
        graph = await self._source().graph(flow.node(change.state))
        _, change.steps = await plan_steps(
            graph, graph.start, change.invocation.id, {}, limits.max_attempts
        )

    def _source(self) -> RenderSource:
        now = datetime.now(UTC)

        async def read_dialogue() -> list[DialogueElement]:
            stored = await self._read_dialogue()
            added = [
                DialogueElement(message.role.value, plain_text(message.content), now)
                for message in self.change.messages
            ]
            said = [element for element in [*stored, *added] if element.text]
            return recent(said, MOST_MESSAGES, self._limits.history_characters)

        return RenderSource(
            flow=self._flow,
            session_id=self.change.session_id,
            state=self.change.state,
            load_model=lambda: self._model,
            heavy=self._heavy,
            actor_input=self._model.actor_input,
            task_error=self.change.error,
            user_info=self._model.user_info,
            moment=now,
            read_dialogue=read_dialogue,
        )

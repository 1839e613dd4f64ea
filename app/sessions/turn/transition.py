"""From a session and an event to a change: the statechart moves in memory, nothing is written."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from app.flows.flow import Entered, Flow
from app.flows.graph import Graph, PlannedStep, StepPlan, StepScope
from app.flows.machine import Recording
from app.flows.model.session_model import SessionModel
from app.flows.rendering.jinja import TemplateError, storable
from app.flows.template import Invoke, Render
from app.kit.ids import new_id
from app.sessions.runtime import Runtime
from app.sessions.store.change import Change, NewInvocation, NewMessage, NewStep, Snapshot
from app.sessions.turn.rendering import RenderSource
from app.wire.messages import plain_text


@dataclass(frozen=True, slots=True)
class TransitionInput:
    """What is sent to a session.

    Attributes:
        event: its name.
        input: what the actor says; "" for an invocation that failed.
        cause: `event:<id>` or `invocation:<id>`.
        content: the input as message blocks, where a client sent it so; or what was generated
            before an invocation was cut short.
        error: why the invocation failed.
        cancelled: whether it failed because the user wanted it to.
        reply: the step and attempt that generated the input.
        updates: values for those fields of the model that the flow has.
    """

    event: str
    input: str
    cause: str
    content: list[dict[str, Any]] | None = None
    error: str | None = None
    cancelled: bool = False
    reply: tuple[str, int] | None = None
    updates: dict[str, Any] = field(default_factory=dict)

    def failed(self, error: str) -> "TransitionInput":
        """The same end of an invocation as a failure: with empty input."""
        return replace(self, input="", content=None, error=error)

    @property
    def internal(self) -> bool:
        """Whether the engine itself sends it."""
        return self.cause.startswith("invocation:")


class TransitionRun:
    """One event applied to one session, in memory; `change` is what it comes to."""

    def __init__(
        self,
        runtime: Runtime,
        flow: Flow,
        model: SessionModel,
        change: Change,
        incoming: TransitionInput,
    ) -> None:
        self._runtime = runtime
        self._flow = flow
        self._model = model
        self._incoming = incoming
        self.change = change

    @classmethod
    async def of(
        cls, runtime: Runtime, flow: Flow, before: Snapshot, incoming: TransitionInput
    ) -> Change:
        """What `incoming` does to a session.

        Raises:
            EventNotAcceptedError: the state does not take the event.
            DefinitionMismatchError: the stored session does not fit the flow.
        """
        model = before.load_model(flow)
        for name in incoming.updates.keys() & flow.model.own_fields():
            setattr(model, name, incoming.updates[name])
        change = Change(
            session_id=before.id,
            org_id=before.org_id,
            version=before.version,
            state=before.state,
            source=before.state,
            model=b"",
            cause=incoming.cause,
            event=incoming.event,
            error=incoming.error,
            messages_before=before.message_count,
        )
        transition = cls(runtime, flow, model, change, incoming)
        await transition.send(incoming.event)
        transition.pack()
        return change

    async def start(self) -> None:
        """Enter the flow's initial state."""
        await self._enter(await self._flow.start(self._model))

    async def send(self, event: str) -> None:
        """Send an event with the input to the statechart, and react to the state it enters."""
        incoming = self._incoming
        self._model.actor_input = incoming.input
        entered = await self._flow.send(
            self.change.state, self._model, event, incoming.input, internal=incoming.internal
        )
        await self._enter(entered)
        if incoming.error and self._flow.machine.shows_errors:
            self.change.messages.append(_failure(incoming))

    def pack(self) -> None:
        """Put the model, as it is stored, into the change."""
        self.change.pack(self._model, compression=self._runtime.settings.session.compression)

    async def _enter(self, entered: Entered) -> None:
        change = self.change
        change.state = self._model.state = entered.target
        change.messages += [
            NewMessage.text(role, storable(text)) for role, text in entered.messages
        ]
        if entered.recording is Recording.RAW:
            change.messages.append(_raw(self._incoming))
        template = self._flow.template(entered.target)
        if not isinstance(template, Render):
            await self._invoke()
        elif entered.recording is Recording.RENDERED:
            await self._show(template)

    async def _show(self, template: Render) -> None:
        """Render the state's template into the dialogue; its fault is an error in the session."""
        try:
            text = await self._source().render(template.text)
        except TemplateError as error:
            told = f"Template of state {self.change.state!r}: {error}"
            self.change.error = f"{self.change.error}\n{told}" if self.change.error else told
            return
        if text:
            message = NewMessage.text("assistant", text)
            if self._incoming.reply:
                message.step_id, message.attempt = self._incoming.reply
            self.change.messages.append(message)

    async def _invoke(self) -> None:
        """StepPlan the steps of the invoker state that was entered."""
        change, flow = self.change, self._flow
        change.invocation = NewInvocation(
            change.state, flow.ending_event(change.state), self._model.actor_input
        )
        graph = await self._source().graph(flow.node(change.state))
        steps = self._runtime.settings.step
        change.steps = step_rows(graph, graph.start(), change.invocation.id, {}, steps.max_attempts)

    def _source(self) -> RenderSource:
        async def read_dialogue(limit: int | None) -> list[tuple[str, str]]:
            change = self.change
            stored = await self._runtime.store.dialogue(change.session_id, limit)
            said = [(m.role, plain_text(m.content)) for m in change.messages]
            return [*stored, *said][-limit if limit else None :]

        return RenderSource(
            flow=self._flow,
            session_id=self.change.session_id,
            state=self.change.state,
            load_model=lambda: self._model,
            actor_input=self._model.actor_input,
            moment=datetime.now(UTC),
            read_dialogue=read_dialogue,
        )


def step_rows(
    graph: Graph,
    plan: StepPlan,
    invocation_id: str,
    parents: dict[str, str],
    max_attempts: int,
) -> list[NewStep]:
    """The rows of a plan. `parents` maps the paths of composites that are there to their ids.

    A plan with nothing to run becomes one step that carries its result: a worker ends it.
    """
    planned = plan.steps or [PlannedStep("", "leaf", "default", StepScope(), result=plan.result)]
    ids = dict(parents)
    rows = []
    for step in planned:
        ids[step.path] = new_id("stp")
        attempts = max_attempts
        if step.kind == "leaf" and step.result is None:
            attempts = _attempts(graph, step.path, max_attempts)
        parent = ids.get(step.path.rpartition("/")[0]) if step.path else None
        rows.append(NewStep(ids[step.path], invocation_id, parent, step, attempts))
    return rows


def _attempts(graph: Graph, path: str, default: int) -> int:
    node, _ = graph.find(path)
    retries = node.retries if isinstance(node, Invoke) else None
    return default if retries is None else retries + 1


def _raw(incoming: TransitionInput) -> NewMessage:
    if incoming.content is not None:
        return NewMessage("user", incoming.content)
    return NewMessage.text("user", incoming.input)


def _failure(incoming: TransitionInput) -> NewMessage:
    """What a failed invocation leaves in the dialogue: what was generated, and why it ended."""
    block = {
        "content_type": "error",
        "error_message": incoming.error,
        "error_code": "cancelled" if incoming.cancelled else "invocation_failed",
    }
    step_id, attempt = incoming.reply or (None, None)
    return NewMessage(
        "assistant",
        [*(incoming.content or []), block],
        "cancelled" if incoming.cancelled else "failed",
        step_id,
        attempt,
    )

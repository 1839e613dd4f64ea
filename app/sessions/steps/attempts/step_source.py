"""What a step's templates and functions see, with the stored values that they read."""

from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeVar

from app.flows.flow import Flow
from app.flows.graph import Graph
from app.flows.rendering.jinja import TemplateError
from app.flows.template import Node
from app.invokers.invoker import MarkedText
from app.kit.concurrency.off_loop import LIGHT_BYTES
from app.sessions.runtime import Runtime
from app.sessions.store.claim import Claim
from app.sessions.store.snapshot import Snapshot
from app.sessions.turn.rendering import RenderSource
from app.sessions.turn.run import dialogue_reader
from app.sessions.turn.stored_values import with_stored_values
from app.sizes.limit import SizeLimit, SizeLimitError, size_of

T = TypeVar("T")
TextT = TypeVar("TextT", bound=str | MarkedText)


class StepSource:
    """The render source of one claimed step; see `RenderSource`."""

    def __init__(self, runtime: Runtime, flow: Flow, claim: Claim) -> None:
        self._runtime = runtime
        self._flow = flow
        self._claim = claim
        self._session = claim.session
        self._rendered = SizeLimit("What a step renders")

    async def render(self, text: str, extra: dict[str, Any] | None = None) -> str:
        """Renders one template; an error says where that is in the flow."""
        return await self._render(lambda source: source.render(text, extra))

    async def render_marked(self, text: str, extra: dict[str, Any] | None = None) -> MarkedText:
        """Renders one template, and says what of the text are values; see `render`."""
        return await self._render(lambda source: source.render_marked(text, extra))

    async def _render(self, render: Callable[[RenderSource], Awaitable[TextT]]) -> TextT:
        try:
            rendered = await self._read(render)
            text = rendered if isinstance(rendered, str) else rendered.text
            self._rendered.add(size_of(text))
        except (TemplateError, SizeLimitError) as error:
            claim = self._claim
            step = f", step {claim.path!r}" if claim.path else ""
            place = f"Template of state {claim.state!r}{step}"
            raise type(error)(f"{place}: {error.detail}") from error
        return rendered

    async def data(self, reads: Collection[str] = ()) -> dict[str, Any]:
        """The render data."""
        return await self._read(lambda source: source.data(reads))

    async def graph(self, node: Node) -> Graph:
        """The step graph of the invoker state."""
        return await self._read(lambda source: source.graph(node))

    async def read_model(self, read: Callable[[Any], T]) -> T:
        """What is read of the session's model."""

        async def run(session: Snapshot) -> T:
            return read(await session.open_model(self._flow))

        return await with_stored_values(self._runtime, self._session, run)

    async def _read(self, use: Callable[[RenderSource], Awaitable[T]]) -> T:
        async def run(session: Snapshot) -> T:
            self._session = session  # with what is loaded by now
            return await use(self._source_of(session))

        return await with_stored_values(self._runtime, self._session, run)

    def _source_of(self, session: Snapshot) -> RenderSource:
        return RenderSource(
            flow=self._flow,
            session_id=session.id,
            state=self._claim.state,
            load_model=lambda: session.load_model(self._flow),
            actor_input=self._claim.actor_input,
            task_error=session.task_error,
            user_info=session.user_info,
            moment=self._claim.entered,
            read_dialogue=dialogue_reader(self._runtime, session.id),
            heavy=session.is_heavy or len(self._claim.actor_input) > LIGHT_BYTES,
        )

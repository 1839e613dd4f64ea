"""What templates see of a session, loaded only as far as a template reads it."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from structlog import get_logger

from app.flows.flow import Flow
from app.flows.graph import Graph
from app.flows.model.secondary_store import ValueNotLoadedError
from app.flows.model.session_model import SessionModel
from app.flows.model.versioned import SerializationError
from app.flows.rendering.dialogue_format import DialogueElement, format_dialogue
from app.flows.rendering.jinja import (
    ANY_NAME,
    MESSAGES_OF_VALUES,
    TemplateError,
    makes_messages,
)
from app.flows.rendering.plain import fill, plain_parts
from app.flows.rendering.store_reads import STORE, reads_of_paths, stored_keys
from app.flows.select import Selection
from app.flows.template import Node, map_paths
from app.invokers.invoker import MarkedText
from app.kit.concurrency.off_loop import off_loop

T = TypeVar("T")
log = get_logger(__name__)

# The dialogue as far back as templates are shown it, oldest first.
ReadDialogue = Callable[[], Awaitable[list[DialogueElement]]]

# Characters of a template up to which it is parsed within 20 ms.
_LONG_TEXT = 4_000

_DIALOGUE = {"chat_history", "dialogue", ANY_NAME}


@dataclass(frozen=True, slots=True)
class RenderSource:
    """Where the render data of one session in one state come from.

    Attributes:
        load_model: the session's model; asked only where a template reads a field of it.
        heavy: whether what is done with all of the model takes long.
        moment: what `current_datetime` shows; fixed for all steps of an invocation.
        task_error: why the last invocation failed, if it did.
        user_info: who the session is for, if its client said so.
    """

    flow: Flow
    session_id: str
    state: str
    load_model: Callable[[], SessionModel]
    actor_input: str
    moment: datetime
    read_dialogue: ReadDialogue
    task_error: str | None = None
    user_info: dict[str, Any] | None = None
    heavy: bool = False

    async def data(self, reads: Collection[str] = ()) -> dict[str, Any]:
        """The render data; the dialogue and stored values are in it only where `reads` names them.

        Raises:
            ValueNotLoadedError: a stored value is read that is not loaded.
            SerializationError: the model holds, or a computed field of it gives, what is no JSON.
        """
        data = await off_loop(lambda: self._of_model(reads), heavy=self.heavy)
        if not _DIALOGUE.isdisjoint(reads):
            dialogue = await self.read_dialogue()
            said = [(element.role, element.text) for element in dialogue]
            data["chat_history"] = format_dialogue(said) if said else ""
            data["dialogue"] = [element.record() for element in dialogue]
        return data

    def _of_model(self, reads: Collection[str]) -> dict[str, Any]:
        """What of the render data is in the model, or made of what came with the event."""
        model = self.load_model()
        model.actor_input = self.actor_input
        try:
            data = model.model_dump(mode="json") | self._known_data()
        except ValueNotLoadedError:
            raise
        except Exception as error:  # computed fields are the flow's own code
            log.exception("the flow's model cannot be shown", session_id=self.session_id)
            raise SerializationError(
                f"The model of flow {self.flow.key!r} holds what is no JSON."
            ) from error
        data["parsed_actor_input"] = model.parsed_actor_input
        if (keys := stored_keys(reads, model.secondary_store)) is not None:
            values = {key: model.secondary_store[key] for key in keys}
            data[STORE] = {key: value.model_dump(mode="json") for key, value in values.items()}
        return data

    async def render(self, text: str, extra: dict[str, Any] | None = None) -> str:
        """Renders one template.

        Raises:
            ValueNotLoadedError: a stored value is read that is not loaded.
            TemplateError: the template is wrong, or ran over its limits.
            SizeLimitError: the text would be too long.
        """
        return await self._render(text, await self._read(text, extra))

    async def render_marked(self, text: str, extra: dict[str, Any] | None = None) -> MarkedText:
        """Renders one template, and says what of the text are values; see `render`."""
        if await _off_loop(makes_messages, text):
            raise TemplateError(MESSAGES_OF_VALUES)
        data, mark = await self._read(text, extra), secrets.token_hex(16)
        rendered = await self._render(text, data, mark)
        return MarkedText.read(rendered, mark, data.get("chat_history", ""))

    async def _read(self, text: str, extra: dict[str, Any] | None) -> dict[str, Any]:
        """What a template reads.

        Raises:
            ValueNotLoadedError: a stored value is read that is not loaded.
        """
        reads = await _off_loop(self.flow.renderer.reads, text)
        data = self._known_data() | (extra or {})
        if not reads <= data.keys():
            data = await self.data(reads) | (extra or {})
        if ANY_NAME not in reads:
            data = {name: value for name, value in data.items() if name in reads}
        return data

    async def _render(self, text: str, data: dict[str, Any], mark: str = "") -> str:
        if (parts := await _off_loop(plain_parts, text)) is not None:
            return fill(parts, data, mark)
        return await self.flow.renderer.render(text, data, mark)

    def _known_data(self) -> dict[str, Any]:
        """What is known without the model and the dialogue."""
        return {
            "session_id": self.session_id,
            "state_id": self.flow.state_id(self.state),
            "state_name": self.flow.state_name(self.state),
            "actor_input": self.actor_input,
            "task_error": self.task_error,
            "user_info": self.user_info,
            "current_datetime": self.moment.isoformat(),
        }

    async def graph(self, node: Node) -> Graph:
        """The step graph of an invoker state; its maps see the render data."""
        paths = " ".join(map_paths(node))
        reads = {name for name in _DIALOGUE if name in paths} | reads_of_paths(paths)
        return Graph(node, await self.data(reads) if paths else {}, Selection())


async def _off_loop(look: Callable[[str], T], text: str) -> T:
    """What is found in a template; in a thread, where it may have to be parsed for long."""
    return await asyncio.to_thread(look, text) if len(text) > _LONG_TEXT else look(text)

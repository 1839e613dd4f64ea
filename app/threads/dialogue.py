"""Reading a dialogue as it grows: whole messages from PostgreSQL, the one being made from Redis."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from app.db.models import MessageStatus
from app.enums import MessageRole
from app.sessions.runtime import Runtime
from app.sessions.steps.partial_output import read_partial
from app.sessions.store.snapshot import SessionWithInvocation
from app.sessions.store.stored_rows import StoredMessage
from app.threads.cursor import Cursor
from app.threads.record import message_fields
from app.wire.messages import AgentMessageStatus


@dataclass(frozen=True, slots=True)
class PartialMessage:
    """The message that a running step is making."""

    text: str
    since: datetime


@dataclass(slots=True)
class ThreadDelta:
    """What came after a cursor; `reset` is the first index to be dropped before it is applied.

    It is a part where more messages are there than one answer holds: the session is not known then
    to be as it is, before the last of them are read.
    """

    cursor: Cursor
    messages: dict[int, dict[str, Any]] = field(default_factory=dict)
    reset: int | None = None
    moved: bool = False
    is_part: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing new; that an answer begins, without a word of it, is not."""
        if self.moved or self.reset is not None:
            return False
        return all(
            m["status"] == AgentMessageStatus.GENERATING and not m["content"]
            for m in self.messages.values()
        )


class DialogueReader:
    """Reads one session's dialogue."""

    def __init__(self, runtime: Runtime, view: SessionWithInvocation) -> None:
        self._runtime = runtime
        self._view = view
        self._session = view.session

    async def changes_since(self, cursor: Cursor) -> ThreadDelta:
        """What came after the cursor."""
        session = self._session
        if cursor.next > session.message_count:
            # A token of another session, or of one that was lost, points past the end.
            cursor = cursor.at(session.message_count)
        action_ids = self._view.asked_by_steps
        known = cursor.knowing(session.version, action_ids)
        moved = (cursor.version, cursor.asks_digest) != (known.version, known.asks_digest)
        delta = ThreadDelta(cursor, moved=moved)
        if cursor.next < session.message_count:
            messages = await self._messages_from(cursor.next)
            delta.is_part = messages[-1].idx < session.message_count - 1
            self._add_finished(delta, messages)
            if delta.is_part:
                delta.moved = False
                return delta
        await self._add_generating(delta)
        delta.cursor = replace(delta.cursor, version=known.version, asks_digest=known.asks_digest)
        return delta

    async def _messages_from(self, first: int) -> list[StoredMessage]:
        """The messages from an index on, as many as one answer holds."""
        known = self._view.last_message
        if known is not None and known.idx == first:  # most readers have all that is before it
            return [known]
        most, last = self._runtime.settings.lists.page_bytes, self._session.message_count - 1
        return await self._runtime.store.messages(self._session.id, first, most, last=last)

    def _add_finished(self, delta: ThreadDelta, messages: list[StoredMessage]) -> None:
        cursor = delta.cursor
        delta.messages = {m.idx: message_fields(m) for m in messages}
        last = messages[-1]
        shown = _content_text(last.content)
        fresh = cursor.next  # the first message that the reader has nothing of
        if cursor.began:
            first = delta.messages[cursor.next]
            if cursor.fits(_content_text(first["content"])):
                first["content"] = _rest_of(first["content"], cursor.chars)
                fresh += 1
                if not first["content"] and first["status"] is MessageStatus.GENERATING:
                    del delta.messages[cursor.next]  # it has not grown
            else:
                delta.reset = cursor.next
        from_user = delta.is_part or any(m.role is MessageRole.USER for m in messages)
        if delta.reset is None and from_user:
            # Who sent it put it down already, behind whatever else the reader had. It may be in a
            # later part.
            delta.reset = fresh
        if last.status is MessageStatus.GENERATING:
            delta.cursor = cursor.at(last.idx).showing(shown)
        else:
            delta.cursor = cursor.at(last.idx + 1)

    async def _add_generating(self, delta: ThreadDelta) -> None:
        cursor = delta.cursor
        if cursor.next < self._session.message_count:  # the last stored message still grows
            return
        generating = await self._generating()
        if generating is None:
            if cursor.began:  # it came to nothing
                delta.reset = cursor.next
                delta.cursor = cursor.at(cursor.next)
            return
        held = cursor.chars
        if cursor.began and not cursor.fits(generating.text):
            delta.reset, held = cursor.next, 0
        new_text = generating.text[held:]
        if cursor.began and delta.reset is None and not new_text:
            return
        delta.messages[cursor.next] = {
            "role": MessageRole.ASSISTANT,
            "content": [{"content_type": "text", "text": new_text}] if new_text else [],
            "status": AgentMessageStatus.GENERATING,
            "created": generating.since,
        }
        delta.cursor = cursor.showing(generating.text)

    async def _generating(self) -> PartialMessage | None:
        running = self._view.running
        if running is None or not running.step_id or not running.attempt:
            return None
        text = await self.partial_text()
        return PartialMessage(text, running.since)

    async def partial_text(self) -> str:
        """What the running step has generated so far."""
        running = self._view.running
        if running is None or not running.step_id:
            return ""
        prefix = self._runtime.settings.redis_namespace
        return await read_partial(self._runtime.redis, prefix, running.step_id, running.attempt)


def _content_text(content: list[dict[str, Any]]) -> str:
    """What tells how much of a message a reader has: its text, of a tool result the call."""
    return "".join(_block_text(block) for block in content)


def _block_text(block: dict[str, Any]) -> str:
    if block.get("content_type") == "tool_result":
        return str(block["tool_use_id"])
    return str(block.get("text", ""))


def _rest_of(content: list[dict[str, Any]], chars: int) -> list[dict[str, Any]]:
    """The blocks of a message without what a reader has who was shown so many characters."""
    blocks = []
    for block in content:
        shown = _block_text(block)
        rest = shown[chars:]
        if "text" not in block and (rest or not shown):
            blocks.append(block)
        elif rest:
            blocks.append(block | {"text": rest})
        chars = max(0, chars - len(shown))
    return blocks

"""Reading a dialogue as it grows: whole messages from PostgreSQL, the one being made from Redis."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import blake2b
from typing import Any, Self

from app.errors import BadRequestError
from app.kit.paging import PageTokenError, decode_token, encode_token
from app.sessions.runtime import Runtime
from app.sessions.steps.partial_output import read_partial
from app.sessions.store.snapshot import SessionWithInvocation, StoredMessage
from app.threads.record import message_fields
from app.wire.messages import plain_text


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a reader has read.

    Attributes:
        version: of the session, as the reader knows it.
        next: index of the first message that the reader has not read to its end.
        chars: how much of that message's text the reader has.
        digest: of the text that the reader has; "" if it was not shown that message at all.
    """

    version: int = 0
    next: int = 0
    chars: int = 0
    digest: str = ""

    @classmethod
    def parse(cls, token: str | None) -> Self:
        """From a continuation token; none starts at the beginning.

        Raises:
            BadRequestError: the token is none of ours.
        """
        if not token:
            return cls()
        try:
            *numbers, digest = decode_token(token)
            version, next_, chars = (int(part) for part in numbers)
        except (PageTokenError, ValueError) as error:
            raise _bad_token("The continuation token is not one that this service gave out.") from (
                error
            )
        if max(version, next_, chars) >= 2**31 or min(version, next_, chars) < 0:
            raise _bad_token("The continuation token is out of range.")
        return cls(version, next_, chars, digest)

    def token(self) -> str:
        """The opaque form of it."""
        return encode_token(str(self.version), str(self.next), str(self.chars), self.digest)

    def showing(self, text: str) -> Self:
        """This cursor once the reader has so much of the message at `next`."""
        return replace(self, chars=len(text), digest=_digest(text))

    def at(self, next_: int) -> Self:
        """This cursor at the start of a message that the reader was not shown yet."""
        return replace(self, next=next_, chars=0, digest="")

    @property
    def began(self) -> bool:
        """Whether the reader was shown the message at `next`."""
        return bool(self.digest)

    def fits(self, text: str) -> bool:
        """Whether what the reader has of the message is how this text begins.

        It need not be: a retried attempt may say something else, a failed one ends with an error.
        """
        return len(text) >= self.chars and _digest(text[: self.chars]) == self.digest


@dataclass(frozen=True, slots=True)
class PartialMessage:
    """The message that a running step is making."""

    text: str
    since: datetime


@dataclass(slots=True)
class ThreadDelta:
    """What came after a cursor; `reset` is the first index to be dropped before it is applied."""

    cursor: Cursor
    messages: dict[int, dict[str, Any]] = field(default_factory=dict)
    reset: int | None = None
    moved: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing new; that an answer begins, without a word of it, is not."""
        if self.moved or self.reset is not None:
            return False
        return all(m["status"] == "generating" and not m["content"] for m in self.messages.values())


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
        delta = ThreadDelta(cursor, moved=cursor.version != session.version)
        if cursor.next < session.message_count:
            messages = await self._runtime.store.messages(session.id, cursor.next)
            self._add_finished(delta, [m for m in messages if m.idx < session.message_count])
        await self._add_generating(delta)
        delta.cursor = replace(delta.cursor, version=session.version)
        return delta

    def _add_finished(self, delta: ThreadDelta, messages: list[StoredMessage]) -> None:
        cursor = delta.cursor
        delta.messages = {m.idx: message_fields(m) for m in messages}
        fresh = cursor.next  # the first message that the reader has nothing of
        if cursor.began:
            first = delta.messages[cursor.next]
            if cursor.fits(plain_text(first["content"])):
                first["content"] = _after(first["content"], cursor.chars)
                fresh += 1
            else:
                delta.reset = cursor.next
        if delta.reset is None and any(m.role == "user" for m in messages):
            # Who sent it put it down already, behind whatever else the reader had.
            delta.reset = fresh
        delta.cursor = cursor.at(self._session.message_count)

    async def _add_generating(self, delta: ThreadDelta) -> None:
        cursor, generating = delta.cursor, await self._generating()
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
            "role": "assistant",
            "content": [{"content_type": "text", "text": new_text}] if new_text else [],
            "status": "generating",
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


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _bad_token(detail: str) -> BadRequestError:
    return BadRequestError(detail, errors=[{"loc": ["query", "next_token"], "msg": detail}])


def _after(content: list[dict[str, Any]], chars: int) -> list[dict[str, Any]]:
    """The blocks of a message without the first `chars` characters of its text."""
    rest = []
    for block in content:
        text = block.get("text")
        if text is None:
            rest.append(block)
            continue
        if text[chars:]:
            rest.append(block | {"text": text[chars:]})
        chars = max(0, chars - len(text))
    return rest

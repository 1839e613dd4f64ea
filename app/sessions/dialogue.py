"""Reading a dialogue as it grows: whole messages from PostgreSQL, the one being made from Redis."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

import asyncpg

from app.errors import BadRequestError
from app.kit.paging import PageTokenError, decode_token, encode_token
from app.sessions.partial import read_partial
from app.sessions.runtime import Runtime
from app.sessions.thread_record import message_fields
from app.sessions.view import View


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a reader has read.

    Attributes:
        version: of the session, as the reader knows it.
        next: index of the first message that the reader has not read to its end.
        attempt: which attempt at generating that message the reader follows; 0 for none.
        chars: how much of its text the reader has.
    """

    version: int = 0
    next: int = 0
    attempt: int = 0
    chars: int = 0

    @classmethod
    def parse(cls, token: str | None) -> Self:
        """From a continuation token; none starts at the beginning.

        Raises:
            BadRequestError: the token is none of ours.
        """
        if not token:
            return cls()
        try:
            version, next_, attempt, chars = (int(part) for part in decode_token(token))
        except (PageTokenError, ValueError) as error:
            raise BadRequestError(
                "The continuation token is not one that this service gave out.",
                errors=[{"loc": ["query", "next_token"], "msg": "not a continuation token"}],
            ) from error
        if max(version, next_, attempt, chars) >= 2**31 or min(version, next_, attempt, chars) < 0:
            raise BadRequestError("The continuation token is out of range.")
        return cls(version, next_, attempt, chars)

    def token(self) -> str:
        """The opaque form of it."""
        return encode_token(*map(str, (self.version, self.next, self.attempt, self.chars)))


@dataclass(frozen=True, slots=True)
class Generating:
    """The message that a running step is making."""

    attempt: int
    text: str
    since: datetime


@dataclass(slots=True)
class News:
    """What came after a cursor; `reset` is the first index to be dropped before it is applied."""

    cursor: Cursor
    messages: dict[int, dict[str, Any]] = field(default_factory=dict)
    reset: int | None = None
    moved: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing new."""
        return not self.messages and not self.moved


class DialogueReader:
    """Reads one session's dialogue."""

    def __init__(self, runtime: Runtime, view: View) -> None:
        self._runtime = runtime
        self._view = view
        self._session = view.session

    async def news(self, cursor: Cursor) -> News:
        """What came after the cursor."""
        session = self._session
        # A token of another session, or of one that was lost, may point past the end.
        cursor = replace(cursor, next=min(cursor.next, session.message_count))
        news = News(cursor, moved=cursor.version != session.version)
        if cursor.next < session.message_count:
            rows = await self._runtime.store.messages(session.id, cursor.next)
            self._add_finished(news, [row for row in rows if row["idx"] < session.message_count])
        await self._add_generating(news)
        news.cursor = replace(news.cursor, version=session.version)
        return news

    def _add_finished(self, news: News, rows: list[asyncpg.Record]) -> None:
        cursor = news.cursor
        for row in rows:
            message, idx = message_fields(row), row["idx"]
            if idx == cursor.next and cursor.attempt:
                if row["attempt"] == cursor.attempt:
                    message["content"] = _after(message["content"], cursor.chars)
                else:
                    news.reset = idx
            elif row["role"] == "user" and news.reset is None:
                # Who sent it holds it already: the client puts down what it sends.
                news.reset = idx
            news.messages[idx] = message
        news.cursor = Cursor(cursor.version, self._session.message_count)

    async def _add_generating(self, news: News) -> None:
        generating = await self._generating()
        if generating is None:
            return
        cursor = news.cursor
        same = generating.attempt == cursor.attempt
        new_text = generating.text[cursor.chars :] if same else generating.text
        if same and not new_text:
            return
        if cursor.attempt and not same:
            news.reset = cursor.next
        news.messages[cursor.next] = {
            "role": "assistant",
            "content": [{"content_type": "text", "text": new_text}] if new_text else [],
            "status": "generating",
            "created": generating.since,
        }
        chars = cursor.chars + len(new_text) if same else len(new_text)
        news.cursor = replace(cursor, attempt=generating.attempt, chars=chars)

    async def _generating(self) -> Generating | None:
        running = self._view.running
        if running is None or not running.step_id or not running.attempt:
            return None
        text = await self.partial_text()
        return Generating(running.attempt, text, running.since)

    async def partial_text(self) -> str:
        """What the running step has generated so far."""
        running = self._view.running
        if running is None or not running.step_id:
            return ""
        prefix = self._runtime.settings.redis_prefix
        return await read_partial(self._runtime.redis, prefix, running.step_id, running.attempt)


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

"""What was said in sessions, as it is read from PostgreSQL."""

from collections.abc import Collection
from typing import Any

import asyncpg

from app.flows.rendering.dialogue_format import DialogueElement
from app.flows.template import Spoken
from app.sessions.store.sql import message_sql
from app.sessions.store.stored_rows import StoredMessage
from app.wire.messages import plain_text


class MessageReads:
    """The messages of the sessions of one database."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def dialogue(
        self, session_id: str, limit: int | None, characters: int | None
    ) -> list[DialogueElement]:
        """The most recent messages that have text, whole, oldest first."""
        rows = await self._pool.fetch(message_sql.DIALOGUE, session_id, limit, characters)
        elements = [
            DialogueElement(row["role"], plain_text(row["content"]), row["created"])
            for row in reversed(rows)
        ]
        return [element for element in elements if element.text]

    async def conversation(self, session_id: str, limit: int, characters: int) -> list[Spoken]:
        """The most recent messages, whole, oldest first."""
        rows = await self._pool.fetch(message_sql.CONVERSATION, session_id, limit, characters)
        return [Spoken(*row) for row in reversed(rows)]

    async def messages(
        self, session_id: str, first: int, most_bytes: int, *, last: int = 2**31
    ) -> list[StoredMessage]:
        """Messages from an index on, in order, of so many bytes together; one in any case."""
        rows = await self._pool.fetch(message_sql.MESSAGES, session_id, first, most_bytes, last)
        return [StoredMessage.from_row(row) for row in rows]

    async def calls(self, session_id: str, ids: Collection[str]) -> list[list[dict[str, Any]]]:
        """The contents of the messages with some calls of tools, or their results, in order."""
        rows = await self._pool.fetch(message_sql.CALLS, session_id, list(ids))
        return [row["content"] for row in rows]

    async def last_answer(self, session_id: str) -> list[dict[str, Any]]:
        """The blocks of the last message that is neither the user's own nor a tool's result."""
        content: list[dict[str, Any]] | None = await self._pool.fetchval(
            message_sql.LAST_ANSWER, session_id
        )
        return content or []

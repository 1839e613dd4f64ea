"""What was said in sessions, as it is read from PostgreSQL."""

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

    async def messages(self, session_id: str, first: int = 0) -> list[StoredMessage]:
        """Messages from an index on, in order."""
        rows = await self._pool.fetch(message_sql.MESSAGES, session_id, first)
        return [StoredMessage.from_row(row) for row in rows]

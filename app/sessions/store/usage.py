"""What requests to models took, in PostgreSQL: written once for each attempt, and summed."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from app.invokers.invoker import InvokerError, Usage
from app.sessions.store.claim import Claim
from app.sessions.store.sql import usage_sql


@dataclass(slots=True)
class AttemptUsage:
    """What the model request of an attempt took; none was made or answered while `tokens` are zero.

    Attributes:
        provider: what was asked: a Provider, or a built-in invoker.
        tokens: how many.
        seconds: that the request lasted.
        reserved: whether budgets are over the request: it is counted then, whatever it took.
    """

    provider: str = ""
    tokens: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    reserved: bool = False

    @property
    def counts(self) -> bool:
        """Whether there is anything to write."""
        return self.reserved or self.tokens != Usage()

    @contextmanager
    def on(self, provider: str) -> Iterator[None]:
        """Notes what is asked, how long it takes, and what a request took that failed."""
        self.provider, started = provider, time.monotonic()
        try:
            yield
        except InvokerError as error:
            self.tokens = error.usage or Usage()
            raise
        finally:
            self.seconds = time.monotonic() - started


class UsageStore:
    """The account of what models were paid for."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def record(self, claim: Claim, attempt: AttemptUsage) -> None:
        """Writes what an attempt took. It was spent, whatever becomes of the attempt's outcome."""
        session, tokens = claim.session, attempt.tokens
        await self._pool.execute(
            usage_sql.RECORD,
            *claim.fence,
            session.org_id,
            session.id,
            session.version,
            session.agent_id,
            session.created_by,
            attempt.provider,
            tokens.input_tokens,
            tokens.output_tokens,
            tokens.cached_tokens,
            attempt.seconds,
        )

    async def of_session(self, session_id: str) -> dict[str, Any] | None:
        """What the requests of a session took together; None where there were none."""
        usage: dict[str, Any] | None = await self._pool.fetchval(
            usage_sql.SESSION_USAGE, session_id
        )
        return usage

"""How many connections the server has, and how long it bears with one that does not go on."""

import asyncio
from typing import Any, ClassVar

from typing_extensions import override

from app.api.http.limits.heads import HeadLimitedProtocol
from app.errors import UnavailableError
from app.settings.http import ApiSettings


class TooManyConnectionsError(UnavailableError):
    """All connections that there may be are being answered."""

    code = "too-many-connections"
    title = "Too many connections"


class BoundedProtocol(HeadLimitedProtocol):
    """Closes the connection that was idle longest where there are too many.

    Attributes:
        max_connections: that there may be.
        max_pipelined: requests of a connection that wait behind the one that is answered.
        answer_seconds: in which a client must take something of its answer.
        rest_seconds: in which the rest of a body may come that was answered before: who sends it
            reads the answer only then.
        rest_bytes: that this rest may have.
        idle: those of the server on which no request is answered, the longest idle first.
    """

    max_connections: ClassVar[int]
    max_pipelined: ClassVar[int] = 20
    answer_seconds: ClassVar[float]
    rest_seconds: ClassVar[float] = 5.0
    rest_bytes: ClassVar[int] = 10_000_000
    idle: "ClassVar[dict[BoundedProtocol, None]]"

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._stuck: asyncio.TimerHandle | None = None
        self._rest: asyncio.TimerHandle | None = None
        self._rest_bytes = 0

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            longest = next(iter(self.idle), None)
            if longest is None:
                self.refuse(
                    TooManyConnectionsError("There are too many connections.", retry_after=1)
                )
                return
            del self.idle[longest]
            longest.transport.close()
        self.idle[self] = None

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.idle.pop(self, None)
        for timer in filter(None, (self._stuck, self._rest)):
            timer.cancel()
        super().connection_lost(exc)

    @override
    def on_headers_complete(self) -> None:
        self.idle.pop(self, None)
        super().on_headers_complete()
        if len(self.pipeline) > self.max_pipelined:
            self.transport.close()

    @override
    def on_body(self, body: bytes) -> None:
        if self._rest is not None:
            self._rest_bytes += len(body)
            if self._rest_bytes > self.rest_bytes:
                self.transport.close()
        super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        super().on_message_complete()

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.answers or self.transport.is_closing():
            return
        self.idle[self] = None
        if self._in_body:
            self._rest_bytes = 0
            self._rest = self.loop.call_later(self.rest_seconds, self.transport.close)

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck = self.loop.call_later(self.answer_seconds, self.transport.abort)

    @override
    def resume_writing(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
        super().resume_writing()


def bounded_protocol(settings: ApiSettings) -> type[BoundedProtocol]:
    """The protocol with the limits of these settings, for `uvicorn.run(http=…)`."""

    class Protocol(BoundedProtocol):
        max_head_bytes = settings.max_head_bytes
        head_seconds = settings.head_seconds
        max_connections = settings.max_connections
        answer_seconds = settings.answer_seconds
        idle: ClassVar[dict[BoundedProtocol, None]] = {}

    return Protocol

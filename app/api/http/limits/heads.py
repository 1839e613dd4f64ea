"""How the server reads a request's head: bounded in bytes and in time, before any of our code."""

import asyncio
from http import HTTPStatus
from typing import Any, ClassVar

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from app.api.http.head import HeadersTooLargeError
from app.api.http.problems import problem_of
from app.api.http.protocol import HttpProtocol
from app.errors import BadRequestError, RequestTimeoutError, StatewrightError

# What comes at once is fed to the parser in pieces, so that the limit is noticed on the way; of a
# body in larger ones, as each is copied.
_HEAD_PIECE = 4_096
_BODY_PIECE = 65_536
# A refused client may go on sending for so long: a reset would take the answer from it.
_LINGER_SECONDS = 1.0


class HeadLimitedProtocol(HttpProtocol):
    """Refuses a head that is too large or too slow, and so trailers and chunk extensions.

    Attributes:
        max_head_bytes: that may come without a byte of a body, and without ending a request.
        head_seconds: in which a head must come.
    """

    max_head_bytes: ClassVar[int]
    head_seconds: ClassVar[float]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._awaits_head = True
        self._unused = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._refused = False

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_deadline()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._end_deadline()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        if self._awaits_head:
            self._start_deadline()
        start = 0
        while start < len(data) and not self._refused and not self.transport.is_closing():
            size = _HEAD_PIECE if self._awaits_head else _BODY_PIECE
            piece = data[start : start + size]
            start += size
            self._unused += len(piece)
            super().data_received(piece)
            if self._unused > self.max_head_bytes:
                self.refuse(
                    HeadersTooLargeError(
                        f"The address and the headers are larger than {self.max_head_bytes} bytes."
                    )
                )

    @override
    def on_message_begin(self) -> None:
        self._start_deadline()
        super().on_message_begin()

    @override
    def on_headers_complete(self) -> None:
        self._awaits_head = False
        self._end_deadline()
        super().on_headers_complete()

    @override
    def on_body(self, body: bytes) -> None:
        self._unused = 0
        super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        self._awaits_head = True
        self._unused = 0
        super().on_message_complete()

    @override
    def send_400_response(self, msg: str) -> None:
        self.refuse(BadRequestError(msg))

    def _start_deadline(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.head_seconds, self._head_is_late)

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _head_is_late(self) -> None:
        self._deadline = None
        if self.answers:  # what comes ahead of its turn may wait
            self._start_deadline()
        elif self._unused:
            self.refuse(
                RequestTimeoutError(
                    f"The headers did not come within {self.head_seconds:g} seconds."
                )
            )
        else:
            self.transport.close()

    @property
    def answers(self) -> bool:
        """Whether a request is being answered."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def refuse(self, error: StatewrightError) -> None:
        """Answers and closes; in the middle of another answer, just closes."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._end_deadline()
        self._unset_keepalive_if_required()
        if self.answers:
            self.transport.close()
            return
        answer = problem_of(error, "")
        phrase = HTTPStatus(answer.status_code).phrase
        fields = [*answer.raw_headers, (b"connection", b"close")]
        head = b"".join(b"%b: %b\r\n" % field for field in fields)
        status_line = f"HTTP/1.1 {answer.status_code} {phrase}\r\n".encode()
        self.transport.write(b"%b%b\r\n%b" % (status_line, head, bytes(answer.body)))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_LINGER_SECONDS, self.transport.close)

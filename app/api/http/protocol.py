"""HTTP/1.1 as uvicorn speaks it, for clients that offer to go on by another protocol."""

import re

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_OFFER = re.compile(rb"\r\nupgrade:(?=[ \t]*h2c)", re.IGNORECASE)
_HEAD_ENDS = b"\r\n\r\n"


class HttpProtocol(HttpToolsProtocol):
    """Passes over `Upgrade: h2c`, which the HTTP client of Java sends with its first request.

    The parser would take all after the head for the other protocol, and the body would be lost.
    """

    _in_body = False

    @override
    def data_received(self, data: bytes) -> None:
        if not self._in_body:
            head, end, rest = data.partition(_HEAD_ENDS)
            data = _OFFER.sub(b"\r\nX-Offered-Upgrade:", head) + end + rest
        super().data_received(data)

    @override
    def on_headers_complete(self) -> None:
        self._in_body = True
        super().on_headers_complete()

    @override
    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()

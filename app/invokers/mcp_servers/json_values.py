"""Counts the values of JSON while it comes in: many small ones take long to be read, and memory."""

import re

from app.invokers.web.answer_heads import AnswerTooLargeError

# A text of JSON goes over no end of a line, whatever stands around the JSON in a stream of events.
_LINE_END = re.compile(rb"[\r\n]")


class JsonValues:
    """The values of one answer, outside of texts; an empty object or list counts twice.

    Args:
        most: how many there may be.
    """

    def __init__(self, most: int) -> None:
        self._most = self._left = most
        self._rest = b""  # half of what is to come, as it may be
        self._in_text = False

    def add(self, chunk: bytes) -> int:
        """Counts what came, and says how many these are.

        Raises:
            AnswerTooLargeError: there are too many.
        """
        before, chunk = self._left, self._rest + chunk
        slashes = len(chunk) - len(chunk.rstrip(b"\\"))
        whole = len(chunk) - slashes % 2
        self._rest = chunk[whole:]
        first, *others = _LINE_END.split(chunk[:whole].replace(b"\\\\", b"").replace(b'\\"', b""))
        self._add_line(first)
        for line in others:
            self._in_text = False
            self._add_line(line)
        return before - self._left

    def _add_line(self, line: bytes) -> None:
        parts = line.split(b'"')
        outside = b"".join(parts[int(self._in_text) :: 2])
        self._in_text ^= len(parts) % 2 == 0
        self._left -= outside.count(b",") + outside.count(b"[") + outside.count(b"{")
        if self._left < 0:
            raise AnswerTooLargeError(f"the answer has more than {self._most:,} values")

"""Bounded zstandard compression of stored payloads, safe to call from any thread."""

import threading

import zstandard

from app.kit.invalid import InvalidValueError

MAX_DECOMPRESSED_BYTES = 64 * 1024 * 1024


class _Codec(threading.local):
    """A compressor and a decompressor for each thread: neither may be shared."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=3)
        self.decompressor = zstandard.ZstdDecompressor()


_codec = _Codec()


def compress(payload: bytes) -> bytes:
    """One zstandard frame that states its content's size."""
    return _codec.compressor.compress(payload)


def content_size(frame: bytes) -> int:
    """The size of a frame's content, as the frame states it; 0 where it does not."""
    try:
        return max(zstandard.frame_content_size(frame), 0)
    except zstandard.ZstdError:
        return 0


def decompress(frame: bytes) -> bytes:
    """The content of one frame that `compress` made.

    Raises:
        InvalidValueError: not one whole frame, or its content is larger than 64 MiB.
    """
    try:
        # The frame's own size is what zstandard allocates, whatever `max_output_size` says.
        size = zstandard.frame_content_size(frame)
        if not 0 <= size <= MAX_DECOMPRESSED_BYTES:
            raise InvalidValueError("its content is of unknown size or larger than 64 MiB")
        return _codec.decompressor.decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise InvalidValueError("it is not a whole zstandard frame") from error

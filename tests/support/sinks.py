"""Somewhere for an invoker to emit to."""

import asyncio


class Sink:
    """Keeps each piece that an invoker emits; `first` is set with the first."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.first = asyncio.Event()

    async def __call__(self, text: str) -> None:
        self.pieces.append(text)
        self.first.set()

    @property
    def text(self) -> str:
        """All pieces, joined."""
        return "".join(self.pieces)

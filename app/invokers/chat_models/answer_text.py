"""The text of an answer, out of the pieces in which a model gives it."""

from app.kit.storable import clean_text

_TAGS = {"<think>": "</think>", "<thinking>": "</thinking>"}


class AnswerText:
    """Takes reasoning in tags off the front of an answer, and makes the rest storable.

    A tag and an emoji may be split over any number of pieces. A NUL or half an emoji becomes the
    replacement character.

    Attributes:
        reasoned: whether there was reasoning in tags.
    """

    def __init__(self) -> None:
        self.reasoned = False
        self._half = ""
        self._held = ""
        self._closing: str | None = None
        self._speaks = False

    def feed(self, piece: str) -> str:
        """The text that a piece adds to the answer."""
        piece, self._half = self._half + piece, ""
        if "\ud800" <= piece[-1:] <= "\udbff":  # the other half comes with the next piece
            piece, self._half = piece[:-1], piece[-1]
        return self._spoken(clean_text(piece))

    def end(self) -> str:
        """What is left when the last piece was fed."""
        text = self._spoken(clean_text(self._half))
        self._half = ""
        if self._closing is None:
            text += self._held
        self._held = ""
        return text

    def _spoken(self, piece: str) -> str:
        if self._speaks:
            return piece
        self._held += piece
        while self._advance():
            pass
        return self._release()

    def _release(self) -> str:
        if not self._speaks:
            return ""
        text, self._held = self._held, ""
        return text

    def _advance(self) -> bool:
        """Takes the next piece of reasoning off; False: the answer begins, or more must come."""
        if self._closing is not None:
            return self._skip_reasoning(self._closing)
        return self._find_reasoning()

    def _skip_reasoning(self, closing: str) -> bool:
        before, found, after = self._held.partition(closing)
        if not found:
            self._held = before[-len(closing) :]
            return False
        self._held = after.lstrip()
        self._closing = None
        return True

    def _find_reasoning(self) -> bool:
        text = self._held.lstrip()
        for opening, closing in _TAGS.items():
            if text.startswith(opening):
                self._held = text[len(opening) :]
                self._closing = closing
                self.reasoned = True
                return True
        if self.reasoned:
            self._held = text
        self._speaks = not any(opening.startswith(text) for opening in _TAGS)
        return False

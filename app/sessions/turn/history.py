"""How much of a dialogue templates are shown, so that no dialogue grows past what models take."""

from collections.abc import Sequence
from typing import TypeVar

from app.enums import MessageRole
from app.flows.rendering.dialogue_format import DialogueElement

# That templates are shown, whatever is made of them: fewer than a model takes at once.
MOST_MESSAGES = 5_000


Element = TypeVar("Element", bound=tuple[str, str] | DialogueElement)


def recent(dialogue: Sequence[Element], limit: int | None, characters: int) -> list[Element]:
    """The newest messages of a dialogue, each (role, text, …), oldest first; all of them whole.

    They go back as far as they have that many characters together. The newest message and the
    user's newest are there however long they are: they are what is to be answered. `DIALOGUE` in
    `read_sql` is the same in SQL.
    """
    shown: list[Element] = []
    length, full, asked = 0, False, False
    for element in reversed(dialogue[-limit if limit else None :]):
        role, text = element[:2]
        length += len(text)
        full = full or (bool(shown) and length > characters)
        if not full or (role == MessageRole.USER and not asked):
            shown.append(element)
        asked = asked or role == MessageRole.USER
        if full and asked:
            break
    return shown[::-1]

"""How much of a dialogue templates are shown, so that no dialogue grows past what models take."""

from collections.abc import Sequence

from app.enums import MessageRole

# That templates are shown, whatever is made of them: fewer than a model takes at once.
MOST_MESSAGES = 5_000


def recent(
    dialogue: Sequence[tuple[str, str]], limit: int | None, characters: int
) -> list[tuple[str, str]]:
    """The newest messages of a dialogue, each a (role, text), oldest first; all of them whole.

    They go back as far as they have that many characters together. The newest message and the
    user's newest are there however long they are: they are what is to be answered. `DIALOGUE` in
    `read_sql` is the same in SQL.
    """
    shown: list[tuple[str, str]] = []
    length, full, asked = 0, False, False
    for role, text in reversed(dialogue[-limit if limit else None :]):
        length += len(text)
        full = full or (bool(shown) and length > characters)
        if not full or (role == MessageRole.USER and not asked):
            shown.append((role, text))
        asked = asked or role == MessageRole.USER
        if full and asked:
            break
    return shown[::-1]

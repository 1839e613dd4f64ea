"""Words that tables, engines and the wire share: what may be written in a column of text."""

from enum import StrEnum


class StepKind(StrEnum):
    """What a step is: a leaf is rendered and invoked, a composite waits for its children."""

    LEAF = "leaf"
    CHAIN = "chain"
    PARALLEL = "parallel"
    MAP = "map"


class ThreadVisibility(StrEnum):
    """Who may read a thread: its creator, or everybody in the org."""

    PRIVATE = "private"
    ORG = "org"


class MessageRole(StrEnum):
    """Who speaks in a dialogue; `roboto` is the wire's word for the service itself."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    ROBOTO = "roboto"

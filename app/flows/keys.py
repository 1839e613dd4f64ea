"""The keys of flows: what a flow is called in URLs, and which keys are reserved."""

import re

from app.wire.names import FLOW_KEY_PATTERN

# Paths of the API stand where a flow's key would.
RESERVED_KEYS = frozenset({"agents", "threads", "flows"})

_KEY = re.compile(FLOW_KEY_PATTERN.strip("^$"), re.ASCII)


def is_key(value: object) -> bool:
    """Whether a value can be the key of a flow; it may still be reserved or taken."""
    return isinstance(value, str) and _KEY.fullmatch(value) is not None

"""Names of tools as servers of models take them."""

import re

_MAX_NAME = 64
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


def sent_name(name: str) -> str:
    """The name of a tool that was called; a model may have made up any."""
    return _NOT_IN_NAMES.sub("_", name)[:_MAX_NAME] or "unnamed"

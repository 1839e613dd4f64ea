"""Which values of a secondary store a template or a JMESPath reads, found without running it.

In the names that are read, `secondary_store.KEY` stands for one value, `secondary_store.*` for all.
"""

import re
from collections.abc import Collection, Iterable

from jinja2 import nodes

STORE = "secondary_store"
EVERY_VALUE = f"{STORE}.*"

# `secondary_store.notes` and `secondary_store."my notes"` in a JMESPath.
_MEMBER = re.compile(rf"\b{STORE}\.(?:([A-Za-z_][A-Za-z0-9_]*)|\"([^\"\\]+)\")")


def reads_of_template(tree: Iterable[nodes.Node]) -> set[str]:
    """The reads of the nodes of a template."""
    whole, keys = 0, set()
    for node in tree:
        if isinstance(node, nodes.Name) and node.name == STORE:
            whole += 1
        elif (key := _member(node)) is not None:
            whole -= 1
            keys.add(f"{STORE}.{key}")
    return keys if not whole else {EVERY_VALUE}


def reads_of_paths(paths: str) -> set[str]:
    """The reads of JMESPaths; with the name of the store itself, as templates have it."""
    if STORE not in paths:
        return set()
    members = _MEMBER.findall(paths)
    if len(members) < paths.count(STORE):
        return {STORE, EVERY_VALUE}
    return {STORE, *(f"{STORE}.{plain or quoted}" for plain, quoted in members)}


def stored_keys(reads: Collection[str], keys: Iterable[str]) -> list[str] | None:
    """Those of the keys whose values are read; None where the store is not read at all.

    A name that is read, but with no member of it, is that of all: so are they for functions.
    """
    if STORE not in reads and "*" not in reads:
        return None
    named = {name.partition(".")[2] for name in reads if name.startswith(f"{STORE}.")}
    everything = not named or "*" in named or "*" in reads
    return [key for key in keys if everything or key in named]


def _member(node: nodes.Node) -> str | None:
    """The key where a node reads one member of the store; a dict's own methods are none."""
    if not isinstance(node, nodes.Getattr | nodes.Getitem):
        return None
    if not (isinstance(node.node, nodes.Name) and node.node.name == STORE):
        return None
    if isinstance(node, nodes.Getattr):
        return None if hasattr(dict, node.attr) else node.attr
    constant = node.arg.value if isinstance(node.arg, nodes.Const) else None
    return constant if isinstance(constant, str) else None

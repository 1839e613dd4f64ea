"""What a migration may do while processes of the release before still run."""

import re
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import MagicMock

_FLAGS = re.IGNORECASE | re.DOTALL
_DROPS = "drops what the release before may use"
_RENAMES = "renames what the release before uses"
_RETYPES = "changes a type, and rewrites the table"
_REFUSES = "refuses what the release before writes"
_INDEXES = "builds an index without CONCURRENTLY"
_CHECKS = "checks all rows under a lock"

_SQL_RULES = (
    (r"\bDROP\s+(TABLE|COLUMN|TYPE)\b", _DROPS),
    (r"\bRENAME\b", _RENAMES),
    (r"\bALTER\s+(COLUMN\s+)?\S+\s+(SET\s+DATA\s+)?TYPE\b", _RETYPES),
    (r"\bSET\s+NOT\s+NULL\b", _REFUSES),
    (r"\bADD\s+COLUMN\b(?!.*\bDEFAULT\b).*\bNOT\s+NULL\b", _REFUSES),
    (r"\bCREATE\s+(UNIQUE\s+)?INDEX\s+(?!CONCURRENTLY\b)", _INDEXES),
    (r"\bADD\s+CONSTRAINT\b(?!.*\bNOT\s+VALID\b)", _CHECKS),
    (r"\bLOCK\s+TABLE\b", "locks a table"),
)
_ALWAYS = {
    "drop_table": _DROPS,
    "drop_column": _DROPS,
    "rename_table": _RENAMES,
    "create_unique_constraint": _CHECKS,
    "create_primary_key": _CHECKS,
    "create_exclude_constraint": _CHECKS,
    "batch_alter_table": "hides what it changes",
}
_UNLESS = {
    "create_index": ("postgresql_concurrently", _INDEXES),
    "create_foreign_key": ("postgresql_not_valid", _CHECKS),
    "create_check_constraint": ("postgresql_not_valid", _CHECKS),
}


def findings(upgrade: Callable[[Any], object]) -> list[str]:
    """Each change that could break a process of the release before, or stop it for long.

    Args:
        upgrade: run with an `op` that only notes what it is asked for.
    """
    op = MagicMock()
    upgrade(op)
    calls = [(name, args, options) for name, args, options in op.mock_calls if name != "f"]
    created = {args[0] for name, args, _ in calls if name == "create_table"}
    return [
        f"{name} {_names(args)}: {fault}"
        for name, args, options in calls
        if not created.intersection(_tables(name, args))
        for fault in _faults(name, args, options)
    ]


def _tables(name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The table that an operation changes; constraints and indexes are named first."""
    named_first = name.startswith(("create_index", "create_unique", "create_foreign", "create_ch"))
    return args[1:2] if named_first else args[:1]


def _names(args: tuple[Any, ...]) -> str:
    return " ".join(" ".join(arg.split()) for arg in args if isinstance(arg, str))


def _faults(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> Iterator[str]:
    if name in _ALWAYS:
        yield _ALWAYS[name]
    elif name in _UNLESS:
        option, fault = _UNLESS[name]
        if not options.get(option):
            yield fault
    elif name == "alter_column":
        yield from _alter_faults(options)
    elif name == "add_column" and not args[1].nullable and args[1].server_default is None:
        yield _REFUSES
    elif name == "execute":
        sql = str(args[0])
        yield from (fault for pattern, fault in _SQL_RULES if re.search(pattern, sql, _FLAGS))


def _alter_faults(options: dict[str, Any]) -> Iterator[str]:
    if options.get("new_column_name"):
        yield _RENAMES
    if options.get("type_") is not None:
        yield _RETYPES
    if options.get("nullable") is False:
        yield _REFUSES

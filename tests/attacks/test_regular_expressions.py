"""No text makes a regular expression of the service take more than time in proportion to it."""

import ast
import importlib
import pkgutil
import re
import time
from collections.abc import Iterator
from pathlib import Path
from re import _constants as opcodes
from re import _parser as parser
from typing import Any

import pytest

import app

_ROOT = Path(app.__file__).parent
_SOURCES = {file.relative_to(_ROOT): file.read_text() for file in _ROOT.rglob("*.py")}
_CHARS = 5_000
# A linear pattern takes a hundredth of it, a quadratic one ten times as much; it has three tries,
# as a collection of garbage may come into one.
_SECONDS = 0.05

# What stands in patterns for many a character.
_SOME = [*"a0 \n-.:/@=,\"'\\{}()", "é"]


def _patterns() -> Iterator[tuple[str, re.Pattern[Any], set[str]]]:
    """Each compiled pattern of a module by its name, with the methods that the module calls."""
    for found in pkgutil.walk_packages(app.__path__, "app."):
        if found.name.endswith("__main__"):
            continue
        module = importlib.import_module(found.name)
        source = Path(module.__file__ or "").read_text()
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern) and re.search(rf"^{name} = ", source, re.MULTILINE):
                methods = set(re.findall(rf"\b{name}\.([a-z]+)\(", source))
                yield f"{found.name}.{name}", value, methods


def _literals(parsed: Any) -> Iterator[str]:
    """The texts that a pattern asks for as they are."""
    run = ""
    for opcode, argument in parsed:
        if opcode is opcodes.LITERAL:
            run += chr(argument)
            continue
        yield run
        run = ""
        yield from _inner_literals(argument)
    yield run


def _inner_literals(argument: Any) -> Iterator[str]:
    if isinstance(argument, parser.SubPattern):
        yield from _literals(argument)
    elif isinstance(argument, tuple | list):
        for part in argument:
            yield from _inner_literals(part)


def _hostile_texts(pattern: re.Pattern[Any]) -> Iterator[str]:
    """A beginning, once or again and again, and a long run of one character after it."""
    written = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode()
    literals = {"", *_literals(parser.parse(written, pattern.flags & re.VERBOSE))}
    for beginning in literals | {f"{literal}a " for literal in literals}:
        for char in _SOME:
            yield beginning + char * _CHARS
            yield (beginning + char) * (_CHARS // (len(beginning) + 1))


def _seconds(pattern: re.Pattern[Any], method: str, text: str) -> float:
    given: Any = text if isinstance(pattern.pattern, str) else text.encode()
    arguments = (given[:0], given) if method == "sub" else (given,)
    began = time.thread_time()
    found = getattr(pattern, method)(*arguments)
    if method == "finditer":
        list(found)
    return time.thread_time() - began


@pytest.mark.slow
def test_each_pattern_takes_time_in_proportion_to_the_text() -> None:
    patterns = list(_patterns())
    slow = [
        (name, method, text[:40])
        for name, pattern, methods in patterns
        for method in methods - {"pattern"}
        for text in _hostile_texts(pattern)
        if all(_seconds(pattern, method, text) > _SECONDS for _ in range(3))
    ]
    assert slow == []
    assert len(patterns) > 50


def test_each_pattern_is_one_that_these_tests_find() -> None:
    """All are compiled at the top of a module, or are Pydantic's, whose engine is linear."""
    used = {
        f"{file}: {call}" for file, source in _SOURCES.items() for call in _hidden_calls(source)
    }
    assert used == set()
    assert not [file for file, source in _SOURCES.items() if "regex_engine" in source]


def _hidden_calls(source: str) -> Iterator[str]:
    """The calls of `re` that give no name at the top of a module its value."""
    tree = ast.parse(source)
    named = [statement.value for statement in tree.body if isinstance(statement, ast.Assign)]
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name("re"))) if node not in named:
                yield ast.unparse(node)

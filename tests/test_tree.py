"""Rules of the source tree that no linter knows."""

import ast
import re
from collections import Counter
from pathlib import Path

import app

_ROOT = Path(app.__file__).parent
_FILES = [file for file in _ROOT.rglob("*.py") if file.name != "__init__.py"]


def test_only_the_database_package_commits() -> None:
    commits = [
        f"{file.relative_to(_ROOT)}:{node.lineno}"
        for file in _FILES
        if file.relative_to(_ROOT).parts[0] != "db"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "commit"
    ]
    assert commits == []


def test_no_folder_is_too_large_to_read() -> None:
    sizes = Counter(file.parent.relative_to(_ROOT).as_posix() for file in _FILES)
    assert {folder: size for folder, size in sizes.items() if size > 16} == {}


def test_a_word_of_many_meanings_is_not_used() -> None:
    """It stood for messages, answers, columns and errors: each has a name of its own."""
    assert [file.name for file in _FILES if re.search(r"\btold\b", file.read_text())] == []

"""Rules of the source tree that no linter knows."""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import app

_ROOT = Path(app.__file__).parent
_FILES = [file for file in _ROOT.rglob("*.py") if file.name != "__init__.py"]


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def test_only_the_database_package_commits() -> None:
    commits = [
        f"{file.relative_to(_ROOT)}:{node.lineno}"
        for file in _FILES
        if file.relative_to(_ROOT).parts[0] != "db"
        for node in ast.walk(_tree(file))
        if isinstance(node, ast.Attribute) and node.attr == "commit"
    ]
    assert commits == []


def test_no_folder_is_too_large_to_read() -> None:
    sizes = Counter(file.parent.relative_to(_ROOT).as_posix() for file in _FILES)
    assert {folder: size for folder, size in sizes.items() if size > 16} == {}


def test_no_file_is_too_long_to_read() -> None:
    lengths = {file.relative_to(_ROOT): len(file.read_text().splitlines()) for file in _FILES}
    assert {file: length for file, length in lengths.items() if length > 300} == {}


# Each stood for what the glossary calls otherwise, and some for many things.
_OLD_WORDS = re.compile(
    r"\b(told|Arrived|Incoming|Spent|StepRow|Climber|BellWorker|ParentStep|StoredAction|ascent|rung|hears"
    r"|AWAY|is_away|discreet|wait_in_line|names_of|shown_once)\b"
)


def test_words_that_were_given_up_are_not_used() -> None:
    files = [*_FILES, *(Path(__file__).parent / "support").rglob("*.py")]
    used = {file.name: _OLD_WORDS.findall(file.read_text()) for file in files}
    assert {name: words for name, words in used.items() if words} == {}


# Words that begin neither a verb in the third person nor a noun phrase.
_NO_BEGINNING = re.compile(
    r"(After|Anyone|As|By|Called|Equal|For|From|Joined|Made|Not|Nothing|Numbered|Of|Only|Opened"
    r"|Some|Somebody|Something|That|There|Typed|Until|Up|Whichever|With|Within|Without"
    r"|Written)\b"
)


def test_docstrings_begin_with_a_verb_or_a_noun_phrase() -> None:
    begun = [
        f"{file.relative_to(_ROOT)}:{node.body[0].lineno} {docstring.splitlines()[0]}"
        for file in _FILES
        for node in ast.walk(_tree(file))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if (docstring := ast.get_docstring(node)) and _NO_BEGINNING.match(docstring)
    ]
    assert begun == []

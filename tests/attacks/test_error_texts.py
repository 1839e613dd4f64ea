"""What a library, or an operator's own code, said of an error: in no answer and in no row."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import app

_APP = Path(app.__file__).parent
# Read by who runs the service, in a terminal or a log; the child imports nothing of ours.
_OPERATORS = ("cli", "dev", "db", "flows/code", "flows/rendering/sandbox_child.py", "errors.py")
_LOGS = ("log", "_log")
_TEXT_OF = ("str", "repr", "error_line")
_KNOWN = {"JSONDecodeError", "json"}  # whose `msg` is one of a few phrases
_NAMED = re.compile(r"\bas (\w+):|\b(\w+): [\w.| ]*(?:Error|Exception)\b")


def errors_of(tree: ast.Module) -> Iterator[tuple[str, list[ast.stmt], ast.expr]]:
    """Each error that code has a name for: the name, where it counts, and its classes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.name and node.type:
            yield node.name, node.body, node.type
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for given in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
                if given.annotation and any(is_error(name) for name in names_in(given.annotation)):
                    yield given.arg, node.body, given.annotation


def names_in(node: ast.expr) -> list[str]:
    return [
        part.attr if isinstance(part, ast.Attribute) else part.id
        for part in ast.walk(node)
        if isinstance(part, ast.Attribute | ast.Name)
    ]


def is_error(name: str) -> bool:
    return name.endswith(("Error", "Exception"))


def own_names(tree: ast.Module) -> set[str]:
    """The classes of our own that a module knows."""
    found = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("app."):
            found |= {name.asname or name.name for name in node.names}
    return found


def is_worth_reading(source: str) -> bool:
    """Whether a module may make texts of errors: to read them all takes seconds."""
    names = {name for found in _NAMED.findall(source) for name in found if name}
    marks = [mark.format(name) for name in names for mark in ("({})", "{{{}", "{}.args", "{}.msg")]
    return any(mark in source for mark in marks)


def texts_of_errors(name: str, body: list[ast.stmt]) -> Iterator[int]:
    """The lines in which the text of an error goes anywhere but into a log."""
    waiting: list[ast.AST] = [*body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call):
            function = ast.unparse(node.func)
            if function.partition(".")[0] in _LOGS:
                continue
            if function in _TEXT_OF and node.args and ast.unparse(node.args[0]) == name:
                yield node.lineno
        if isinstance(node, ast.FormattedValue) and ast.unparse(node.value) == name:
            yield node.lineno
        if isinstance(node, ast.Attribute) and ast.unparse(node) in (f"{name}.args", f"{name}.msg"):
            yield node.lineno
        waiting.extend(ast.iter_child_nodes(node))


def test_only_errors_of_our_own_are_told_to_clients() -> None:
    """The rule of `errors.public_text`, wherever a text is made of an error."""
    found = []
    for path in sorted(_APP.rglob("*.py")):
        if (place := path.relative_to(_APP).as_posix()).startswith(_OPERATORS):
            continue
        if not is_worth_reading(source := path.read_text()):
            continue
        tree = ast.parse(source)
        ours = own_names(tree)
        for name, body, classes in errors_of(tree):
            if others := [one for one in names_in(classes) if one not in ours | _KNOWN]:
                found += [f"{place}:{line} {others}" for line in texts_of_errors(name, body)]
    assert found == []

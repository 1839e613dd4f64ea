r"""Templates that pick values out of manifests, in the language of kubectl.

`{.path}` is the values at a JSONPath, with spaces between; `{range .path}…{end}` repeats what is in
it for each; `{"text"}` is text, with `\n` and `\t`; what stands outside of braces is itself.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import jsonpath

from app.cli.failures import CommandError

# A quoted text may hold braces. What is not closed is a token too, which ends there.
_TOKEN = re.compile(r"""\{((?:"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+'|[^{}"'])*+)(\}?)""")
_Token = tuple[str, str]
_MISSING = "<none>"


def fill(template: str, value: Any) -> str:
    """The text of a template.

    Raises:
        CommandError: it is none; the text says where.
    """
    tokens = list(_tokens(template))
    text, rest = _fill(tokens, value)
    if rest:
        raise CommandError("jsonpath: {end} without {range}.")
    return text


def columns(spec: str, items: Sequence[Any]) -> list[list[str]]:
    """Rows of `NAME:PATH,…`, the first of them with the names.

    Raises:
        CommandError: it is no such list.
    """
    pairs = [part.partition(":") for part in spec.split(",")]
    if not all(name and path for name, _, path in pairs):
        raise CommandError("custom-columns is a list of NAME:PATH, such as NAME:.metadata.name.")
    paths = [path.removeprefix("{").removesuffix("}") for _, _, path in pairs]
    rows = [[name for name, _, _ in pairs]]
    for item in items:
        found = [_find(path, item) for path in paths]
        rows.append([",".join(map(_text, values)) if values else _MISSING for values in found])
    return rows


def _tokens(template: str) -> Iterator[_Token]:
    """(`text`, as it is) or (`code`, what is in braces)."""
    end = 0
    for found in _TOKEN.finditer(template):
        if not found[2]:
            break
        yield "text", _outside(template[end : found.start()])
        yield "code", found[1].strip()
        end = found.end()
    yield "text", _outside(template[end:])


def _outside(text: str) -> str:
    if "{" in text or "}" in text:
        raise CommandError(f"jsonpath: a brace that is not closed, or not opened: {text!r}.")
    return text


def _fill(
    tokens: Sequence[_Token], value: Any, *, inside: bool = False
) -> tuple[str, Sequence[_Token]]:
    """The text up to the end of the tokens, or of the range that they are in; and what is left."""
    parts: list[str] = []
    while tokens:
        (kind, code), tokens = tokens[0], tokens[1:]
        if kind == "text":
            parts.append(code)
        elif code == "end":
            return "".join(parts), tokens if inside else [("code", code), *tokens]
        elif code.startswith("range"):
            items = _find(code.removeprefix("range").strip(), value)
            text, tokens = _repeated(tokens, items)
            parts.append(text)
        else:
            parts.append(_pick(code, value))
    if inside:
        raise CommandError("jsonpath: {range} without {end}.")
    return "".join(parts), tokens


def _repeated(tokens: Sequence[_Token], items: Sequence[Any]) -> tuple[str, Sequence[_Token]]:
    """What is in a range, for each item; and what is left after its end."""
    _, rest = _fill(tokens, {}, inside=True)  # there may be no item
    return "".join(_fill(tokens, item, inside=True)[0] for item in items), rest


def _pick(code: str, value: Any) -> str:
    if code[:1] in ('"', "'"):
        return _literal(code)
    return " ".join(map(_text, _find(code, value)))


def _find(path: str, value: Any) -> list[Any]:
    """The values at a path; it may leave out the `$`, or begin with `@`."""
    rooted = path if path.startswith("$") else f"${path.removeprefix('@')}"
    if path and path[0] not in "$@.[":
        rooted = f"$.{path}"
    try:
        return list(jsonpath.findall(rooted, value))
    except jsonpath.JSONPathError as error:
        raise CommandError(f"jsonpath: {path!r} is no path: {str(error).splitlines()[0]}") from None


def _literal(code: str) -> str:
    inner = code[1:-1].replace('"', '\\"') if code[0] == "'" else code[1:-1]
    try:
        return str(json.loads(f'"{inner}"'))
    except ValueError:
        raise CommandError(f"jsonpath: {code} is no text.") from None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

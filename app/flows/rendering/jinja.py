"""The contract of rendering a state's template, and the in-process renderer of trusted ones.

Nothing here evaluates a template while checking it: jinja2's own `meta` module folds constants,
so that `{{ 9**9**9 }}` would stop the process that asks for the names it uses.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from jinja2 import Environment, FileSystemLoader, nodes
from typing_extensions import override

from app.errors import ConflictError
from app.flows.rendering.sandbox_child import (
    MarkingEnvironment,
    configure,
    describe,
    sandbox_environment,
)
from app.flows.rendering.store_reads import reads_of_template
from app.kit.storable import text_fault
from app.sizes.limit import SizeLimit, SizeLimitError, size_of
from app.sizes.weighed_cache import WeighedCache

# Stands for every name: what a template reads that includes others by a computed name.
ANY_NAME = "*"

SANDBOX = sandbox_environment()

# Characters of the templates of which a process keeps each thing that it found in them.
MAX_PARSED = 16_000_000
_READS: WeighedCache[str, frozenset[str]] = WeighedCache(MAX_PARSED)
_MAKES_MESSAGES: WeighedCache[str, bool] = WeighedCache(MAX_PARSED)

_MAKES_VALUES = (nodes.Macro, nodes.AssignBlock, nodes.CallBlock, nodes.FilterBlock)
_ROLE = re.compile(r"""\brole["']?\s*:""")
_Reference = nodes.Include | nodes.Import | nodes.FromImport | nodes.Extends


# What is said where `makes_messages` holds.
MESSAGES_OF_VALUES = (
    "a macro, a block or an expression makes the messages, which are data then: write "
    "`- role: …` and `content: {{ … }}` as text of the template itself"
)


class TemplateError(ConflictError):
    """A template could not be rendered with the session's data; the detail is one line."""

    code = "template-failed"
    title = "Template failed"


class TemplateTimeoutError(TemplateError):
    """The template took too long and was stopped."""


class TemplateFault(NamedTuple):
    """What is wrong with a template's text, and in which line (from 1)."""

    line: int
    message: str


class TemplateRenderer(ABC):
    """Renders Jinja2 text. One instance serves many sessions at once."""

    @abstractmethod
    async def render(self, text: str, context: Mapping[str, Any], mark: str = "") -> str:
        """Fills the template; a name that the context lacks renders as nothing.

        Args:
            text: the template.
            context: its values, by name.
            mark: is written before and behind each value; see `MarkedText`.

        Raises:
            TemplateTimeoutError: it took too long.
            TemplateError: it cannot be rendered; the text says why, in one line.
            SizeLimitError: what it renders would be too long.
        """

    def reads(self, text: str) -> frozenset[str]:
        """The names that a template may read from its context; `ANY_NAME` for any."""
        return _sandbox_reads(text)

    async def close(self) -> None:  # noqa: B027 - only those with child processes have something to close
        """Lets go of everything; rendering is over."""


class TrustedRenderer(TemplateRenderer):
    """Renders in this process, unbounded: for templates of the user's own package.

    Args:
        folders: where `include`, `import` and `extends` find templates, by relative path.
    """

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        loader = FileSystemLoader(list(folders))
        # Without escapes: the output is text for people and models, not HTML.
        self.environment = configure(Environment(loader=loader, auto_reload=False))  # noqa: S701
        self._compiled = lru_cache(maxsize=1024)(self.environment.from_string)
        self._marking = MarkingEnvironment(loader=loader, auto_reload=False)
        configure(self._marking)
        self._compiled_marking = lru_cache(maxsize=1024)(self._marking.from_string)
        self._reads = lru_cache(maxsize=1024)(partial(variables_of, environment=self.environment))

    @override
    def reads(self, text: str) -> frozenset[str]:
        return self._reads(text)

    @override
    async def render(self, text: str, context: Mapping[str, Any], mark: str = "") -> str:
        try:
            self._marking.mark = mark
            template = self._compiled_marking(text) if mark else self._compiled(text)
            return joined(template.generate(context))
        except (TemplateError, SizeLimitError):
            raise
        except Exception as error:
            raise TemplateError(describe(error)) from error


def joined(pieces: Iterable[str]) -> str:
    """The text of its pieces, counted as they come: data that is there once may be named often.

    Raises:
        TemplateError: the text cannot be stored.
        SizeLimitError: it would be too long.
    """
    limit, kept = SizeLimit("The rendered text"), []
    for piece in pieces:
        limit.add(size_of(piece))
        kept.append(piece)
    return storable("".join(kept))


def storable(text: str) -> str:
    """The text, if it can be stored and sent.

    Raises:
        TemplateError: it holds a NUL or half a character.
    """
    fault = text_fault(text)
    if fault is not None:
        raise TemplateError(f"{fault}, which cannot be stored")
    return text


def check_syntax(text: str, environment: Environment = SANDBOX) -> list[TemplateFault]:
    """What is wrong with a template, without running any of it; empty if nothing is.

    Names other templates: a fault where the environment has none to load (the sandbox).
    """
    try:
        tree = environment.parse(text)
    except jinja2.TemplateSyntaxError as error:
        return [TemplateFault(error.lineno, error.message or "syntax error")]
    except RecursionError:
        return [TemplateFault(1, "it nests too deeply")]
    except ValueError:  # such as a number of 5,000 digits
        return [TemplateFault(1, "it holds a number of more than 4300 digits")]
    faults = [_fault_of(node, environment) for node in _walk(tree)]
    return sorted(fault for fault in faults if fault)


def variables_of(text: str, environment: Environment = SANDBOX) -> frozenset[str]:
    """The names that a template may read from its context; none for a text that is no template.

    Names it sets itself count too: one too many costs a look-up, one too few a wrong text.
    Templates that it names are followed; `ANY_NAME` is there if one has a computed name. Of the
    secondary store the values that are read are there too: see `store_reads`.
    """
    names: set[str] = set()
    seen: set[str] = set()
    waiting = [text]
    while waiting:
        try:
            tree = environment.parse(waiting.pop())
        except (jinja2.TemplateSyntaxError, RecursionError, ValueError):
            continue
        names |= reads_of_template(_walk(tree))
        for node in _walk(tree):
            if isinstance(node, nodes.Name) and node.ctx == "load":
                names.add(node.name)
            elif isinstance(node, _Reference):
                targets = _targets(node)
                names.update([] if targets else [ANY_NAME])
                waiting.extend(_sources(targets - seen, environment))
                seen |= targets
    return frozenset(names)


def makes_messages(text: str) -> bool:
    """Whether all that a template writes are values, and they are made to be messages.

    Messages that a macro, a block or an expression makes look like what a user says.
    """
    makes = _MAKES_MESSAGES.get("", text)
    if makes is None:
        makes = _makes_messages(text)
        _MAKES_MESSAGES.put("", text, makes, len(text))
    return makes


def _makes_messages(text: str) -> bool:
    try:
        tree = SANDBOX.parse(text)
    except (jinja2.TemplateSyntaxError, RecursionError, ValueError):
        return False
    inner = list(tree.find_all(_MAKES_VALUES))
    written = [data for node in inner for data in node.find_all(nodes.TemplateData)]
    own = {id(data) for data in written}
    if any(data.data.strip() for data in tree.find_all(nodes.TemplateData) if id(data) not in own):
        return False
    keys = [key.value for pair in tree.find_all(nodes.Pair) for key in pair.find_all(nodes.Const)]
    return "role" in keys or any(_ROLE.search(data.data) for data in written)


def _sandbox_reads(text: str) -> frozenset[str]:
    reads = _READS.get("", text)
    if reads is None:
        reads = variables_of(text)
        _READS.put("", text, reads, len(text))
    return reads


def _walk(tree: nodes.Node) -> Iterator[nodes.Node]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(node.iter_child_nodes())


def _fault_of(node: nodes.Node, environment: Environment) -> TemplateFault | None:
    message = None
    if isinstance(node, nodes.Filter) and node.name not in environment.filters:
        message = f"there is no filter {node.name!r}"
    elif isinstance(node, nodes.Test) and node.name not in environment.tests:
        message = f"there is no test {node.name!r}"
    elif isinstance(node, _Reference):
        message = _reference_fault(node, environment)
    return TemplateFault(node.lineno, message) if message else None


def _reference_fault(node: nodes.Node, environment: Environment) -> str | None:
    if environment.loader is None:
        return "it cannot include, import or extend other templates"
    targets = _targets(node)
    if not targets or getattr(node, "ignore_missing", False) or _sources(targets, environment):
        return None
    return f"there is no template {' or '.join(sorted(targets))}"


def _targets(node: nodes.Node) -> set[str]:
    """The names of templates that a node states as constants."""
    template = getattr(node, "template", None)
    if isinstance(template, nodes.Const):
        value = template.value
        return {value} if isinstance(value, str) else set()
    if isinstance(template, nodes.Tuple | nodes.List):
        constants = [item.value for item in template.items if isinstance(item, nodes.Const)]
        return set(constants) if len(constants) == len(template.items) else set()
    return set()


def _sources(names: set[str], environment: Environment) -> list[str]:
    if environment.loader is None:
        return []
    found = []
    for name in names:
        try:
            found.append(environment.loader.get_source(environment, name)[0])
        except jinja2.TemplateNotFound:
            continue
    return found

"""The child process that renders one untrusted template at a time; `sandbox` starts and kills it.

Run by its path, so that nothing of the service is imported: it starts fast and holds no secrets.
A frame is four bytes of length, big-endian, and a body. Asked with the JSON list [text, context,
mark], where a mark that is not "" goes around each value, it answers `+` and the rendered text, or
`-` and one line that says what is wrong. A template that takes too much processor time or memory
ends the process: by SIGPROF, or with `OUT_OF_MEMORY`.
"""

import contextlib
import json
import os
import resource
import signal
import sys
from collections import OrderedDict
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any, BinaryIO

import orjson
from jinja2 import Environment, Template, TemplateError, TemplateSyntaxError, Undefined, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from typing_extensions import override

OUT_OF_MEMORY = 77
MAX_CACHED_CHARS = 500_000
MAX_MESSAGE_CHARS = 300
_BLOCK = "_value_of_a_block"  # the name of what a call or filter block makes

# Makes Python and jinja2 load what they load on first use: later no file can be opened.
WARM_UP = r"{{ '\N{BULLET}&amp;'|striptags|pprint|wordwrap }}{{ {}|tojson(2) }}{{ missing.member }}"


def to_json(value: Any, indent: int | None = None) -> str:
    """The filter `tojson`: plain JSON, without jinja2's escapes for HTML."""
    return json.dumps(value, indent=indent, ensure_ascii=False)


def configure(environment: Environment) -> Environment:
    """What templates may use, the same for trusted and untrusted ones.

    A name that is missing renders as nothing, as everywhere in Jinja; a member of it is an error.
    """
    environment.filters["tojson"] = to_json
    del environment.globals["lipsum"]
    return environment


class MarkingEnvironment(Environment):
    """Writes `mark` before and behind each value, which is then not taken for the template's text.

    What a macro, a call or a filter makes is a value as a whole.
    """

    mark = ""

    def marked(self, value: object) -> str:
        """The value as it is written."""
        text = str(value).replace(self.mark, "")  # a block may have written some within
        return f"{self.mark}{text}{self.mark}"

    def marked_indented(self, value: object) -> str:
        """The same where the template indents values for YAML: an empty one stands before each."""
        return f"{self.mark}{self.mark}{self.marked(value)}"

    @override
    def _generate(
        self, source: nodes.Template, name: Any, filename: Any, defer_init: bool = False
    ) -> str:
        indents = any(part.name == "indent" for part in source.find_all(nodes.Filter))
        source.body = self._marked_body(source.body, "marked_indented" if indents else "marked")
        source.set_environment(self)
        return super()._generate(source, name, filename, defer_init)

    def _marked_body(self, body: list[nodes.Node], function: str) -> list[nodes.Node]:
        marked: list[nodes.Node] = []
        for node in body:
            if isinstance(node, nodes.Output):
                node.nodes = [_marked_part(part, function) for part in node.nodes]
            elif isinstance(node, nodes.CallBlock | nodes.FilterBlock):
                place = {"lineno": node.lineno}
                target = nodes.Name(_BLOCK, "store", **place)
                marked.append(nodes.AssignBlock(target, None, [node], **place))
                value = nodes.Name(_BLOCK, "load", **place)
                marked.append(nodes.Output([_marked_part(value, function)], **place))
                continue
            elif not isinstance(node, nodes.Macro | nodes.AssignBlock):
                for field in ("body", "elif_", "else_"):
                    if inner := getattr(node, field, None):
                        setattr(node, field, self._marked_body(inner, function))
            marked.append(node)
        return marked


def _marked_part(part: nodes.Expr, function: str) -> nodes.Expr:
    if isinstance(part, nodes.TemplateData):
        return part
    marked = nodes.EnvironmentAttribute(function, lineno=part.lineno)
    return nodes.Call(marked, [part], [], None, None, lineno=part.lineno)


class _Sandbox(ImmutableSandboxedEnvironment):
    @override
    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        """Refuses at once; jinja2 would render nothing if the value is only shown."""
        raise SecurityError(f"{attribute!r} of a {type(obj).__name__} is not for templates")


class _MarkingSandbox(MarkingEnvironment, _Sandbox):
    pass


def sandbox_environment() -> Environment:
    """An environment in which templates walk no attributes, change no context, load no template."""
    return configure(_Sandbox(cache_size=0))


def marking_sandbox() -> MarkingEnvironment:
    """A sandbox that marks values."""
    environment = _MarkingSandbox(cache_size=0)
    configure(environment)
    return environment


def describe(error: Exception) -> str:
    """One line: what went wrong in a template, and in which of its lines if that is known."""
    text = type(error).__name__  # what Python says of a value may have the value in it
    if isinstance(error, TemplateError):
        text = " ".join(str(error).split()) or "no further detail"
    elif isinstance(error, RecursionError):
        text = "it nests or calls itself too deeply"
    elif isinstance(error, ZeroDivisionError):
        text += ": division by zero"
    elif isinstance(error, UnicodeError):
        text += ": a text holds half a character (a lone surrogate)"
    line = error.lineno if isinstance(error, TemplateSyntaxError) else _line_of(error)
    return (f"line {line}: {text}" if line else text)[:MAX_MESSAGE_CHARS]


def _line_of(error: Exception) -> int | None:
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


class Renderer:
    """Compiles, remembers and renders templates.

    Args:
        max_output_bytes: a longer text is an error.
    """

    def __init__(self, max_output_bytes: int) -> None:
        self._environment = sandbox_environment()
        self._marking = marking_sandbox()
        self._max_output = max_output_bytes
        self._compiled: OrderedDict[tuple[str, bool], Template] = OrderedDict()
        self._chars = 0

    def answer(self, body: bytes) -> bytes:
        """Renders a request; every fault but a lack of memory is an answer."""
        try:
            text, context, self._marking.mark = orjson.loads(body)
            return b"+" + self._render(text, context)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - a template can raise anything
            return b"-" + describe(error).encode(errors="replace")

    def _render(self, text: str, context: dict[str, Any]) -> bytes:
        pieces, size = [], 0
        for piece in self._template(text).generate(context):
            encoded = piece.encode()
            size += len(encoded)
            if size > self._max_output:
                raise TemplateError(f"the text is longer than {self._max_output} bytes")
            pieces.append(encoded)
        return b"".join(pieces)

    def _template(self, text: str) -> Template:
        key = text, bool(self._marking.mark)
        template = self._compiled.get(key)
        if template is None:
            environment = self._marking if self._marking.mark else self._environment
            template = self._compiled[key] = environment.from_string(text)
            self._chars += len(text)
            while self._chars > MAX_CACHED_CHARS:
                self._chars -= len(self._compiled.popitem(last=False)[0][0])
        else:
            self._compiled.move_to_end(key)
        return template


def confine(memory_bytes: int) -> None:
    """Gives up what a renderer has no need of: memory, files, processes, sockets."""
    for limit, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 3),
    ):
        resource.setrlimit(limit, (value, value))


def load_walls() -> Callable[[Callable[[], None]], list[str]]:
    """What raises the walls of `sandbox_walls`, which is beside this file."""
    path = __file__.replace("sandbox_child", "sandbox_walls")
    spec = spec_from_file_location("sandbox_walls", path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    raise_walls: Callable[[Callable[[], None]], list[str]] = module.raise_walls
    return raise_walls


def serve(
    renderer: Renderer, requests: BinaryIO, answers: BinaryIO, cpu_seconds: float, walls: bytes
) -> None:
    """Says that it is ready, then answers until the parent closes the pipe, by dying too."""
    _send(answers, walls)
    while len(header := requests.read(4)) == 4:  # noqa: PLR2004 - the length of a frame
        # The kernel ends the process when the time is up, even inside one call of C code.
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        answer = renderer.answer(requests.read(int.from_bytes(header)))
        signal.setitimer(signal.ITIMER_PROF, 0)
        _send(answers, answer)


def _send(answers: BinaryIO, body: bytes) -> None:
    answers.write(len(body).to_bytes(4) + body)
    answers.flush()


def main(memory_bytes: int, max_output_bytes: int, cpu_seconds: float) -> None:
    """Serves standard input and output; the parent alone decides when to stop."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)
    renderer = Renderer(max_output_bytes)
    for mark in ("", "mark"):
        renderer.answer(orjson.dumps([WARM_UP, {}, mark]))
    walls = " ".join(load_walls()(lambda: confine(memory_bytes))).encode()
    try:
        with contextlib.suppress(BrokenPipeError):
            serve(renderer, sys.stdin.buffer, sys.stdout.buffer, cpu_seconds, walls)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))

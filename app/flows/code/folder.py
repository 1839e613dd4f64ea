"""A folder of template files; `meta.yaml` says what is done with those beside and below it."""

from pathlib import Path, PurePosixPath
from typing import Any, Literal

import yaml
from jinja2 import TemplateNotFound, meta
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import Loc
from app.flows.findings import Findings
from app.flows.grammar.reader import MAX_RETRIES, MAX_TIMEOUT_SECONDS, read_retry
from app.flows.rendering.jinja import TrustedRenderer, check_syntax
from app.flows.template import Invoke, Render
from app.invokers.pool import check_class

META = "meta.yaml"


class _RendererMeta(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["jinja", "jinja2"]


class _Meta(BaseModel):
    """One `meta.yaml`: texts are sent to an invoker, or only rendered.

    Attributes:
        invoker: its `type` (a built-in invoker, a Provider or a dotted path) and its config.
        timeout: seconds that one attempt of a step may take.
        retries: attempts after the first.
        retry: the policy, as a manifest has it; the nearest of it and `retries` is in effect.
    """

    model_config = ConfigDict(extra="forbid")

    invoker: dict[str, Any] | None = None
    renderer: _RendererMeta | None = None
    timeout: float | None = Field(None, gt=0, le=MAX_TIMEOUT_SECONDS)
    retries: int | None = Field(None, ge=0, le=MAX_RETRIES)
    retry: dict[str, Any] | None = None

    def below(self, above: "_Meta") -> "_Meta":
        """This one with what it inherits. A renderer replaces an invoker, and the reverse.

        An `invoker` without a type adds to the config of the one above.
        """
        invoker, renderer = self.invoker, self.renderer
        if invoker is not None and "type" not in invoker and above.invoker is not None:
            invoker = above.invoker | invoker
        if invoker is None and renderer is None:
            invoker, renderer = above.invoker, above.renderer
        again = self if self.retries is not None or self.retry is not None else above
        return _Meta(
            invoker=invoker,
            renderer=renderer,
            timeout=above.timeout if self.timeout is None else self.timeout,
            retries=again.retries,
            retry=again.retry,
        )


class TemplateFolder:
    """The templates of a package, by their path below `root`.

    Args:
        root: the folder; it need not be there if no template is a path.
        findings: where faults go.
    """

    def __init__(self, root: Path, findings: Findings) -> None:
        self.renderer = TrustedRenderer([root])
        self._root = root
        self._findings = findings
        self._metas: dict[Path, _Meta | None] = {}

    def read(self, path: str, loc: Loc) -> Render | Invoke | None:
        """The template at a path, or None where something is wrong with it."""
        text = self._source(path, loc)
        if text is None:
            return None
        self.check(text, self._loc(self._root / path))
        found = self._in_effect((self._root / PurePosixPath(path)).parent)
        if found is None:
            return None
        if found.invoker is not None:
            config = dict(found.invoker)
            retry = read_retry(self._findings, {"retry": found.retry}, self._loc(self._root / path))
            type_ = config.pop("type")
            return Invoke(text, type_, config, found.timeout, found.retries, retry)
        if found.renderer is None:
            self._findings.error(
                self._loc(self._root / path),
                f"neither an invoker nor a renderer: no {META} beside or above it names one",
            )
            return None
        return Render(text)

    def check(self, text: str, loc: Loc) -> None:
        """Finds what is wrong with a text, and with the templates that it includes."""
        self._check(text, loc, set())

    def holds(self, path: str) -> bool:
        """Whether a text is the path of one of these templates."""
        return "\n" not in path and len(path) < 1000 and (self._root / path).is_file()  # noqa: PLR2004 - a path is shorter

    def _check(self, text: str, loc: Loc, seen: set[str]) -> None:
        environment = self.renderer.environment
        faults = check_syntax(text, environment)
        for fault in faults:
            self._findings.error((*loc, "line", fault.line), fault.message)
        if faults:
            return
        for name in meta.find_referenced_templates(environment.parse(text)):
            if name is not None and name not in seen and self.holds(name):
                included = self._source(name, loc)
                if included is not None:
                    self._check(included, self._loc(self._root / name), seen | {name})

    def _source(self, path: str, loc: Loc) -> str | None:
        environment = self.renderer.environment
        if environment.loader is None:
            raise TypeError("a folder's environment has a loader")
        try:
            return environment.loader.get_source(environment, path)[0]
        except TemplateNotFound:
            self._findings.error(loc, f"there is no template {path!r} in {self._root}")
        except (UnicodeDecodeError, OSError) as error:
            self._findings.error(loc, f"template {path!r} cannot be read: {error}")
        return None

    def _in_effect(self, directory: Path) -> _Meta | None:
        """What is in effect in a directory; None where a `meta.yaml` is wrong."""
        if directory not in self._metas:
            above = _Meta() if directory == self._root else self._in_effect(directory.parent)
            own = self._read_meta(directory / META)
            self._metas[directory] = None if above is None or own is None else own.below(above)
            if own is not None and own.invoker is not None:
                self._check_invoker(directory)
        return self._metas[directory]

    def _read_meta(self, file: Path) -> _Meta | None:
        if not file.is_file():
            return _Meta()
        loc = self._loc(file)
        try:
            own = _Meta.model_validate(yaml.safe_load(file.read_text()) or {})
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            self._findings.error(loc, f"is not YAML: {' '.join(str(error).split())}")
            return None
        except ValidationError as error:
            for fault in error.errors(include_url=False, include_input=False):
                where = ".".join(str(part) for part in fault["loc"]) or "the file"
                self._findings.error((*loc, where), fault["msg"])
            return None
        if own.invoker is not None and own.renderer is not None:
            self._findings.error(loc, "both an invoker and a renderer; only one can be in effect")
            return None
        faults = len(self._findings.errors)
        read_retry(self._findings, own.model_dump(include={"retries", "retry"}), loc)
        return own if len(self._findings.errors) == faults else None

    def _check_invoker(self, directory: Path) -> None:
        found = self._metas[directory]
        if found is None or found.invoker is None:
            return
        name = found.invoker.get("type")
        message: str | None = "the invoker has no type"
        if isinstance(name, str) and name:
            message = check_class(name) if "." in name else None
        if message:
            self._findings.error(self._loc(directory / META), message)
            self._metas[directory] = None

    def _loc(self, file: Path) -> Loc:
        return (file.relative_to(self._root.parent).as_posix(),)

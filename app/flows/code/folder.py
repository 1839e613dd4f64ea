"""A folder of template files; `meta.yaml` says what is done with those beside and below it."""

from pathlib import Path, PurePosixPath
from typing import Any, Literal

import yaml
from jinja2 import TemplateNotFound, meta
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.flows.rendering.jinja import TrustedRenderer, check_syntax
from app.flows.template import Invoke, Render
from app.invokers.pool import check_class

META = "meta.yaml"


class PackageFaults(list[str]):
    """All that is wrong with a package of flows, each fault once."""

    def add(self, place: str, message: str) -> None:
        """Note a fault, with where it is."""
        fault = f"{place}: {message}"
        if fault not in self:
            self.append(fault)


class _RendererMeta(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["jinja", "jinja2"]


class _Meta(BaseModel):
    """One `meta.yaml`: texts are sent to an invoker, or only rendered.

    Attributes:
        invoker: its `type` (a built-in invoker, a Provider or a dotted path) and its config.
        timeout: seconds that one attempt of a step may take.
        retries: attempts after the first.
    """

    model_config = ConfigDict(extra="forbid")

    invoker: dict[str, Any] | None = None
    renderer: _RendererMeta | None = None
    timeout: float | None = Field(None, gt=0)
    retries: int | None = Field(None, ge=0, le=100)

    def below(self, above: "_Meta") -> "_Meta":
        """This one with what it inherits. A renderer replaces an invoker, and the reverse.

        An `invoker` without a type adds to the config of the one above.
        """
        invoker, renderer = self.invoker, self.renderer
        if invoker is not None and "type" not in invoker and above.invoker is not None:
            invoker = above.invoker | invoker
        if invoker is None and renderer is None:
            invoker, renderer = above.invoker, above.renderer
        return _Meta(
            invoker=invoker,
            renderer=renderer,
            timeout=above.timeout if self.timeout is None else self.timeout,
            retries=above.retries if self.retries is None else self.retries,
        )


class TemplateFolder:
    """The templates of a package, by their path below `root`.

    Args:
        root: the folder; it need not be there if no template is a path.
        faults: where to note what is wrong.
    """

    def __init__(self, root: Path, faults: PackageFaults) -> None:
        self.renderer = TrustedRenderer([root])
        self._root = root
        self._faults = faults
        self._metas: dict[Path, _Meta | None] = {}

    def read(self, path: str, place: str) -> Render | Invoke | None:
        """The template at a path, or None where something is wrong with it."""
        text = self._source(path, place)
        if text is None:
            return None
        self.check(text, f"{self._root.name}/{path}")
        found = self._in_effect((self._root / PurePosixPath(path)).parent)
        if found is None:
            return None
        if found.invoker is not None:
            config = dict(found.invoker)
            return Invoke(text, config.pop("type"), config, found.timeout, found.retries)
        if found.renderer is None:
            self._faults.add(
                f"{self._root.name}/{path}",
                f"neither an invoker nor a renderer: no {META} beside or above it names one",
            )
            return None
        return Render(text)

    def check(self, text: str, place: str) -> None:
        """Note what is wrong with a text, and with the templates that it includes."""
        self._check(text, place, set())

    def holds(self, path: str) -> bool:
        """Whether a text is the path of one of these templates."""
        return "\n" not in path and len(path) < 1000 and (self._root / path).is_file()  # noqa: PLR2004 - a path is shorter

    def _check(self, text: str, place: str, seen: set[str]) -> None:
        environment = self.renderer.environment
        faults = check_syntax(text, environment)
        for fault in faults:
            self._faults.add(f"{place}, line {fault.line}", fault.message)
        if faults:
            return
        for name in meta.find_referenced_templates(environment.parse(text)):
            if name is not None and name not in seen and self.holds(name):
                included = self._source(name, place)
                if included is not None:
                    self._check(included, f"{self._root.name}/{name}", seen | {name})

    def _source(self, path: str, place: str) -> str | None:
        environment = self.renderer.environment
        if environment.loader is None:
            raise TypeError("a folder's environment has a loader")
        try:
            return environment.loader.get_source(environment, path)[0]
        except TemplateNotFound:
            self._faults.add(place, f"there is no template {path!r} in {self._root}")
        except (UnicodeDecodeError, OSError) as error:
            self._faults.add(place, f"template {path!r} cannot be read: {error}")
        return None

    def _in_effect(self, directory: Path) -> _Meta | None:
        """What is in effect in a directory; None where a `meta.yaml` is wrong."""
        if directory not in self._metas:
            above = _Meta() if directory == self._root else self._in_effect(directory.parent)
            own = self._own(directory / META)
            self._metas[directory] = None if above is None or own is None else own.below(above)
            if own is not None and own.invoker is not None:
                self._check_invoker(directory)
        return self._metas[directory]

    def _own(self, file: Path) -> _Meta | None:
        if not file.is_file():
            return _Meta()
        place = self._place(file)
        try:
            own = _Meta.model_validate(yaml.safe_load(file.read_text()) or {})
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            self._faults.add(place, f"is not YAML: {' '.join(str(error).split())}")
            return None
        except ValidationError as error:
            for fault in error.errors(include_url=False, include_input=False):
                where = ".".join(str(part) for part in fault["loc"]) or "the file"
                self._faults.add(place, f"{where}: {fault['msg']}")
            return None
        if own.invoker is not None and own.renderer is not None:
            self._faults.add(place, "both an invoker and a renderer; only one can be in effect")
            return None
        return own

    def _check_invoker(self, directory: Path) -> None:
        found = self._metas[directory]
        if found is None or found.invoker is None:
            return
        name = found.invoker.get("type")
        message: str | None = "the invoker has no type"
        if isinstance(name, str) and name:
            message = check_class(name) if "." in name else None
        if message:
            self._faults.add(self._place(directory / META), message)
            self._metas[directory] = None

    def _place(self, file: Path) -> str:
        return file.relative_to(self._root.parent).as_posix()

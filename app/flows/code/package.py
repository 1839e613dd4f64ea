"""Loads a package of flows in code: imports it, checks it and reports all faults at once."""

import importlib
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterator
from functools import lru_cache
from inspect import cleandoc, isclass
from pathlib import Path
from types import ModuleType
from typing import Any

from app.errors import FieldError, FlowPackageError, Loc, error_line
from app.flows.code.checks import (
    check_binding,
    check_circles,
    check_events,
    check_names,
    check_rest,
    check_state_values,
    check_support,
    check_timers,
)
from app.flows.code.fingerprint import fingerprint
from app.flows.code.folder import TemplateFolder
from app.flows.code.templates import CodeTemplateReader
from app.flows.findings import Findings
from app.flows.flow import Flow
from app.flows.keys import RESERVED_KEYS, is_key
from app.flows.machine import SessionMachine
from app.flows.model.session_model import SessionModel
from app.flows.model.versioned import VersionedModel, register_model
from app.flows.template import Template
from app.wire.names import FLOW_KEY_PATTERN

_BETWEEN_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@lru_cache(maxsize=16)
def load_package(package: str, reserved_keys: frozenset[str] = frozenset()) -> dict[str, Flow]:
    """The flows of a package by key: each `SessionModel` in it that has a `machine`.

    All its modules are imported, and its other `VersionedModel`s registered for secondary stores.

    Args:
        package: its name, as in an import.
        reserved_keys: keys that are in use already.

    Raises:
        FlowPackageError: something is wrong with it; the text names every fault.
    """
    findings = Findings()
    modules = list(_modules(package, findings))
    loader = _Loader(findings, reserved_keys, fingerprint(modules[0]) if modules else "")
    for module in modules:
        loader.take(module)
    if not loader.flows and not findings.errors:
        findings.error((package,), "has no flow: no SessionModel in it has a machine")
    if findings.errors:
        raise FlowPackageError(package, [_line(fault) for fault in findings.errors])
    return loader.flows


class _Loader:
    """Takes the flows and the stored models of modules, one module after the other."""

    def __init__(self, findings: Findings, reserved_keys: frozenset[str], fingerprint: str) -> None:
        self.flows: dict[str, Flow] = {}
        self._findings = findings
        self._reserved_keys = reserved_keys
        self._fingerprint = fingerprint
        self._owners: dict[str, str] = {}
        self._folders: dict[Path, TemplateFolder] = {}

    def take(self, module: ModuleType) -> None:
        """Adds what the module itself defines."""
        for item in list(vars(module).values()):
            if not isclass(item) or item.__module__ != module.__name__:
                continue
            if issubclass(item, SessionModel):
                if getattr(item, "machine", None) is not None:
                    self._flow(item)
            elif issubclass(item, VersionedModel):
                self._register(item)

    def _register(self, model: type[VersionedModel]) -> None:
        try:
            register_model(model)
        except ValueError as error:
            self._findings.error((_name(model),), str(error))

    def _flow(self, model: type[SessionModel]) -> None:
        loc = (_name(model),)
        key = self._key(model, loc)
        machine: Any = model.machine
        if not (isclass(machine) and issubclass(machine, SessionMachine)):
            self._findings.error(loc, "its machine is no subclass of SessionMachine")
            return
        folder = self._folder(importlib.import_module(machine.__module__))
        check_binding(machine, model, loc, self._findings)
        templates = self._templates(machine, folder, (_name(machine),))
        if not self._findings.errors:
            self.flows[key] = Flow(
                key=key,
                revision=0,
                machine=machine,
                model=model,
                templates=templates,
                renderer=folder.renderer,
                trusted=True,
                description=_description(model),
                fingerprint=self._fingerprint,
            )

    def _key(self, model: type[SessionModel], loc: Loc) -> str:
        key = vars(model).get("key") or _snake_case(model.__name__)
        if not is_key(key):
            self._findings.error(loc, f"key {key!r} does not match {FLOW_KEY_PATTERN}")
        elif key in RESERVED_KEYS:
            self._findings.error(loc, f"key {key!r} is reserved")
        elif key in self._reserved_keys:
            self._findings.error(loc, f"key {key!r} is taken by a flow of the product")
        elif self._owners.setdefault(key, _name(model)) != _name(model):
            self._findings.error(loc, f"key {key!r} is taken by {self._owners[key]}")
        return str(key)

    def _templates(
        self, machine: type[SessionMachine], folder: TemplateFolder, loc: Loc
    ) -> dict[str, Template]:
        reader = CodeTemplateReader(folder, self._findings)
        read = {
            state_id: reader.read(value, (*loc, f"state {state_id!r}"))
            for state_id, value in machine.templates.items()
        }
        known = {state_id: template for state_id, template in read.items() if template is not None}
        check_support(machine, loc, self._findings)
        check_state_values(machine, loc, self._findings)
        check_circles(machine, loc, self._findings)
        check_names(machine, loc, self._findings)
        check_events(machine, known, loc, self._findings)
        check_rest(machine, known, loc, self._findings)
        check_timers(machine, known, loc, self._findings)
        return known

    def _folder(self, module: ModuleType) -> TemplateFolder:
        """The `templates` folder beside the module, or beside the nearest package above it."""
        beside = Path(module.__file__ or "").parent
        depth = module.__name__.count(".") + (0 if hasattr(module, "__path__") else -1)
        above = [beside, *beside.parents][: max(depth, 0) + 1]
        root = next((path / "templates" for path in above if (path / "templates").is_dir()), None)
        root = root or beside / "templates"
        if root not in self._folders:
            self._folders[root] = TemplateFolder(root, self._findings)
        return self._folders[root]


def _modules(package: str, findings: Findings) -> Iterator[ModuleType]:
    """The package and all modules below it; a fault for each that cannot be imported."""
    # As `python -m` would: a command's own search path lacks the directory that it is run in.
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    root = _imported(package, findings)
    if root is None:
        return
    yield root
    for info in pkgutil.walk_packages(
        getattr(root, "__path__", []), f"{package}.", onerror=lambda _: None
    ):
        module = _imported(info.name, findings)
        if module is not None:
            yield module


def _imported(name: str, findings: Findings) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except Exception as error:  # noqa: BLE001 - the user's own code may raise anything
        own = f"/{name.partition('.')[0]}/"
        frames = [f for f in traceback.extract_tb(error.__traceback__) if own in f.filename]
        where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
        text = f"{type(error).__name__}: {error_line(error)}"
        findings.error((f"module {name}",), f"{text}{where}")
        return None


def _line(fault: FieldError) -> str:
    """A fault in one line: `flows.AskMachine, state 'asking', chain 2: is empty`."""
    place = "".join(f" {key}" if isinstance(key, int) else f", {key}" for key in fault["loc"])
    return f"{place.removeprefix(', ')}: {fault['msg']}"


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _snake_case(name: str) -> str:
    return _BETWEEN_WORDS.sub("_", name).lower()


def _description(model: type[SessionModel]) -> str | None:
    doc = vars(model).get("__doc__")
    return cleandoc(doc).partition("\n")[0] if doc else None

"""The templates of a flow in code, as its machine writes them, made into template trees."""

import importlib
from collections.abc import Callable, Iterable
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.flows.code.folder import PackageFaults, TemplateFolder
from app.flows.template import (
    Call,
    Chain,
    Invoke,
    Map,
    Node,
    Parallel,
    Queue,
    Render,
    Template,
)
from app.invokers.pool import check_class


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _ChainForm(_Form):
    chain: list[Any]


class _ParallelForm(_Form):
    parallel: dict[str, Any]


class _MapParts(_Form):
    over: str
    template: Any
    index_field: str = "map_index"
    value_field: str = "map_value"


class _MapForm(_Form):
    map: _MapParts


class _QueueForm(_Form):
    queue: str
    template: Any


class _InvokeForm(_Form):
    invoke: str
    template: str
    config: dict[str, Any] = {}
    timeout: float | None = Field(None, gt=0)
    retries: int | None = Field(None, ge=0, le=100)


class _CallForm(_Form):
    call: Any


_FORMS: dict[str, type[_Form]] = {
    "chain": _ChainForm,
    "parallel": _ParallelForm,
    "map": _MapForm,
    "queue": _QueueForm,
    "invoke": _InvokeForm,
    "call": _CallForm,
}


class CodeTemplateReader:
    """Reads the templates of one flow.

    A text is the path of a file; a list is a chain; an object has the form that it would have in a
    manifest; a function is a call; the classes of `app.flows.template` are what they are. All of
    them nest.
    """

    def __init__(self, folder: TemplateFolder, faults: PackageFaults) -> None:
        self._folder = folder
        self._faults = faults

    def read(self, value: Any, place: str) -> Template | None:
        """The template of a state; None where it cannot be read."""
        match value:
            case str():
                return self._folder.read(value, place)
            case Render(text):
                self._folder.check(text, place)
                return value
            case list():
                return self._chain(value, place)
            case dict():
                return self._form(value, place)
            case Invoke():
                return self._invoke(value, place)
            case _:
                return self._composed(value, place)

    def _part(self, value: Any, place: str) -> Node | None:
        """A template inside another one: a text that is only rendered is a step as well."""
        template = self.read(value, place)
        if isinstance(template, Render):
            return Invoke(template.text, "verbatim")
        return template

    def _composed(self, value: Any, place: str) -> Node | None:
        match value:
            case Chain(parts):
                return self._chain(parts, place)
            case Parallel(keyed):
                return self._parallel(keyed, place)
            case Map():
                return self._map(value, place)
            case Queue():
                return self._queue(value, place)
            case _:
                return self._call(value, place)

    def _form(self, given: dict[Any, Any], place: str) -> Node | None:
        key = next((key for key in _FORMS if key in given), None)
        if key is None:
            known = ", ".join(_FORMS)
            self._faults.add(place, f"an object must have one of the keys {known}")
            return None
        try:
            form = _FORMS[key].model_validate(given)
        except ValidationError as error:
            for fault in error.errors(include_url=False, include_input=False):
                where = ".".join(str(part) for part in fault["loc"])
                self._faults.add(place, f"{where}: {fault['msg']}")
            return None
        return self._formed(form, place)

    def _formed(self, form: _Form, place: str) -> Node | None:
        match form:
            case _ChainForm():
                return self._chain(form.chain, place)
            case _ParallelForm():
                return self._parallel(form.parallel, place)
            case _MapForm(map=parts):
                read = Map(parts.over, parts.template, parts.index_field, parts.value_field)
                return self._map(read, place)
            case _QueueForm():
                return self._queue(Queue(form.queue, form.template), place)
            case _InvokeForm():
                text, name = form.template, form.invoke
                return self._invoke(
                    Invoke(text, name, form.config, form.timeout, form.retries), place
                )
            case _CallForm():
                return self._call(form.call, place)
            case _:
                raise TypeError(f"{type(form).__name__} is none of the forms")

    def _invoke(self, invoke: Invoke, place: str) -> Invoke:
        if self._folder.holds(invoke.text):
            self._faults.add(
                place,
                f"{invoke.text!r} is a file, but with an invoker the template is the text itself;"
                " write the path alone and name the invoker in its meta.yaml",
            )
        if "." in invoke.invoker and (fault := check_class(invoke.invoker)):
            self._faults.add(place, fault)
        self._folder.check(invoke.text, place)
        return invoke

    def _chain(self, parts: Iterable[Any], place: str) -> Chain | None:
        read = [self._part(part, f"{place}, chain {i}") for i, part in enumerate(parts)]
        if not read:
            self._faults.add(place, "the chain is empty")
        known = tuple(part for part in read if part is not None)
        return Chain(known) if read and len(known) == len(read) else None

    def _parallel(self, keyed: dict[str, Any], place: str) -> Parallel | None:
        read = {key: self._part(part, f"{place}, parallel {key!r}") for key, part in keyed.items()}
        if not read:
            self._faults.add(place, "nothing is parallel")
        known = {key: part for key, part in read.items() if part is not None}
        return Parallel(known) if read and len(known) == len(read) else None

    def _map(self, given: Map, place: str) -> Map | None:
        for field in (given.index_field, given.value_field):
            if not field.isidentifier():
                self._faults.add(place, f"{field!r} cannot be the name of a field")
        if given.index_field == given.value_field:
            self._faults.add(place, f"index and value cannot both be {given.index_field!r}")
        try:
            jmespath.compile(given.over)
        except JMESPathError as error:
            reason = " ".join(str(error).split())
            self._faults.add(place, f"{given.over!r} is no JMESPath: {reason}")
        part = self._part(given.part, f"{place}, map")
        if part is None:
            return None
        return Map(given.over, part, given.index_field, given.value_field)

    def _queue(self, given: Queue, place: str) -> Queue | None:
        if not given.name:
            self._faults.add(place, "the queue has no name")
        part = self._part(given.part, f"{place}, queue {given.name!r}")
        return None if part is None else Queue(given.name, part)

    def _call(self, function: Any, place: str) -> Call | None:
        if isinstance(function, Call):
            function = function.function
        if isinstance(function, str):
            function = self._function(function, place)
        elif not callable(function):
            kind = type(function).__name__
            self._faults.add(place, f"a {kind} is no template")
            return None
        return None if function is None else Call(function)

    def _function(self, path: str, place: str) -> Callable[..., Any] | None:
        module, _, name = path.rpartition(".")
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            self._faults.add(place, f"there is no function {path!r}: {error}")
            return None
        if not callable(found):
            self._faults.add(place, f"{path!r} is no function")
            return None
        return found  # type: ignore[no-any-return] # callable, which is all that is asked

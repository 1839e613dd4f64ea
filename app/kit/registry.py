"""Named implementations, found by importing the package that holds them."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Generic, TypeVar

from typing_extensions import override

from app.kit.invalid import InvalidValueError

T = TypeVar("T")


class UnknownNameError(KeyError, InvalidValueError):
    """A name under which nothing is registered; the text lists what is."""

    @override
    def __str__(self) -> str:  # KeyError would show the text in quotes
        return str(self.args[0])


class DuplicateNameError(ValueError):
    """A name that two implementations claim; raised when the process starts."""


class Registry(Mapping[str, T], Generic[T]):
    """Implementations by name; names are case-sensitive.

    Args:
        what: the word for one of them, used in errors: "invoker", "kind".
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._items: dict[str, T] = {}

    def add(self, name: str, item: T) -> None:
        """Registers `item`; the same item again is fine.

        Raises:
            DuplicateNameError: another item has the name.
        """
        known = self._items.setdefault(name, item)
        if known is not item:
            raise DuplicateNameError(
                f"two {self._what}s are named {name!r}: {known!r} and {item!r}"
            )

    @override
    def __getitem__(self, name: str) -> T:
        try:
            return self._items[name]
        except KeyError:
            known = ", ".join(sorted(self._items)) or "none"
            raise UnknownNameError(f"unknown {self._what} {name!r}; known: {known}") from None

    @override
    def __contains__(self, name: object) -> bool:
        return name in self._items

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    @override
    def __len__(self) -> int:
        return len(self._items)


def discover(
    package: ModuleType, base: type[T], *, what: str, name: Callable[[type[T]], str | None]
) -> Registry[type[T]]:
    """Imports every module of `package` and registers the concrete subclasses of `base` in them.

    Args:
        package: the folder of implementations; folders inside it are left alone.
        base: the contract. Abstract subclasses are passed over.
        what: the word for one of them, used in errors.
        name: gives a class its name; None leaves the class out.

    Raises:
        DuplicateNameError: two classes have one name.
    """
    registry: Registry[type[T]] = Registry(what)
    for module_info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(module_info.name)
        for item in vars(module).values():
            if _is_implementation(item, base, module) and (found := name(item)) is not None:
                registry.add(found, item)
    return registry


def _is_implementation(item: object, base: type, module: ModuleType) -> bool:
    """Whether `item` is a concrete subclass of `base` that `module` itself defines."""
    return (
        inspect.isclass(item)
        and issubclass(item, base)
        and not inspect.isabstract(item)
        and item.__module__ == module.__name__
    )

"""The registry: finds by importing, refuses duplicates, names what it knows."""

import sys
from abc import ABC, abstractmethod
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest

from app.kit.registry import DuplicateNameError, Registry, UnknownNameError, discover


class Shape(ABC):
    name: ClassVar[str | None] = None

    @abstractmethod
    def draw(self) -> str: ...


def make_package(folder: Path, files: dict[str, str]) -> ModuleType:
    """A package named after the folder, which imports `Shape` from this module."""
    sys.modules["shape_contract"] = contract = ModuleType("shape_contract")
    contract.Shape = Shape  # type: ignore[attr-defined]
    (folder / "__init__.py").write_text("")
    for file, text in files.items():
        (folder / f"{file}.py").write_text(f"from shape_contract import Shape\n{text}")
    package = ModuleType(folder.name)
    package.__path__ = [str(folder)]
    sys.modules[folder.name] = package
    return package


def shape(name: str | None, class_name: str = "Found") -> str:
    return f"class {class_name}(Shape):\n name = {name!r}\n def draw(self): return 'x'\n"


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    folder = tmp_path / f"shapes_{abs(hash(request.node.name))}"
    folder.mkdir()
    return folder


def find(package: ModuleType) -> Registry[type[Shape]]:
    contract: type[Shape] = Shape  # type: ignore[type-abstract] # only subclasses are made
    return discover(package, contract, what="shape", name=lambda found: found.name)


def test_finds_the_concrete_named_classes_of_a_package(folder: Path) -> None:
    abstract = "class Round(Shape):\n name = 'round'\n"
    files = {"a": shape("circle"), "b": shape("square"), "c": abstract, "d": shape(None)}
    assert sorted(find(make_package(folder, files))) == ["circle", "square"]


def test_a_class_imported_by_another_module_is_found_once(folder: Path) -> None:
    files = {"a": shape("circle"), "b": f"from {folder.name}.a import Found"}
    assert list(find(make_package(folder, files))) == ["circle"]


def test_a_duplicate_is_an_error_that_names_it(folder: Path) -> None:
    package = make_package(folder, {"a": shape("circle"), "b": shape("circle", "Other")})
    with pytest.raises(DuplicateNameError, match=r"two shapes are named 'circle'.*Found.*Other"):
        find(package)


def test_names_are_case_sensitive(folder: Path) -> None:
    found = find(make_package(folder, {"a": shape("circle"), "b": shape("Circle")}))
    assert found["circle"] is not found["Circle"]


def test_an_unknown_name_lists_what_is_known() -> None:
    registry: Registry[int] = Registry("number")
    with pytest.raises(KeyError, match="known: none"):
        registry["one"]
    registry.add("two", 2)
    registry.add("one", 1)
    with pytest.raises(UnknownNameError) as caught:
        registry["Two"]
    assert str(caught.value) == "unknown number 'Two'; known: one, two"
    assert registry.get("Two") is None
    assert "Two" not in registry
    assert len(registry) == 2


def test_the_same_item_may_be_added_again() -> None:
    registry: Registry[object] = Registry("thing")
    item = object()
    registry.add("x", item)
    registry.add("x", item)
    with pytest.raises(DuplicateNameError):
        registry.add("x", object())

"""What the documentation names is there: files, functions, tests, settings, decisions."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from pydantic import BaseModel

from app.settings import Settings
from app.settings.client import ClientSettings

_ROOT = Path(__file__).parents[1]
_PAGES = sorted([*_ROOT.glob("*.md"), *_ROOT.glob("docs/**/*.md")])
_LINK = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<target>[^)#\s]+)(#[^)]*)?\)")
_CODE = re.compile(r"`(?:(?P<module>[\w/]+)\.)?(?P<name>\w+(?:\.\w+)*)`")
_HEAD = re.compile(r"^\*\*(\w+(?: \w+)?):\*\*", re.MULTILINE)
_SETTING = re.compile(r"`STATEWRIGHT_(\w+)`")
_SETTING_ROW = re.compile(
    r"^\| `STATEWRIGHT_(\w+)` \| ([\d,]+|`[\w]+`|true|false) \|", re.MULTILINE
)


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.relative_to(_ROOT).as_posix())
def test_links_lead_to_what_they_name(page: Path) -> None:
    assert [
        fault for link in _LINK.finditer(page.read_text()) for fault in _faults(page, link)
    ] == []


def test_settings_that_are_named_exist() -> None:
    named = {name for page in _PAGES for name in _SETTING.findall(page.read_text())}
    assert named - set(_settings()) == set()


def test_the_readme_has_the_defaults_of_settings() -> None:
    rows = _SETTING_ROW.findall((_ROOT / "README.md").read_text())
    assert len(rows) > 10
    for name, default in rows:
        assert default.strip("`").replace(",", "") == _default(name), name


def test_the_readme_has_all_settings() -> None:
    """Those of the commands that speak HTTP are named below its table."""
    named = set()
    for row in re.findall(r"^\| (`.*?) \|", (_ROOT / "README.md").read_text(), re.MULTILINE):
        group = ""
        for name in re.findall(r"`(\w+)`", row):
            group = group if name.startswith("__") else name.rpartition("__")[0]
            named.add(f"{group}{name}" if name.startswith("__") else name)
    fields = set(_leaves(Settings)) - {"DEV"}  # which `statewright dev` sets for its processes
    assert {f"STATEWRIGHT_{name}" for name in fields} | fields >= named
    missing = {name for name in fields if not {name, f"STATEWRIGHT_{name}"} & named}
    assert missing == set()


def test_every_decision_is_in_the_index_with_what_enforces_it() -> None:
    folder = _ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()
    records = {record.name for record in folder.glob("0*.md")}
    assert records == set(re.findall(r"\]\((0\d{3}-[\w-]+\.md)\)", index))
    for record in records:
        heads = set(
            re.findall(r"^\*\*(\w+(?: \w+)?):\*\*", (folder / record).read_text(), re.MULTILINE)
        )
        assert {"Decided", "Status", "Alternatives", "Enforced by"} <= heads, record


def _faults(page: Path, link: re.Match[str]) -> Iterator[str]:
    target = link["target"]
    if "://" in target:
        return
    file = (page.parent / target).resolve()
    if not file.exists():
        yield f"{target} is not there"
        return
    code = _CODE.fullmatch(link["text"])
    if code is None or file.suffix != ".py" or link["text"].strip("`").endswith(".py"):
        return
    module, name = code["module"], code["name"]
    if module and not file.with_suffix("").as_posix().endswith(f"/{module}"):
        yield f"{link['text']} is not in {target}"
    elif module or name != file.stem:
        yield from (
            f"{target} has no {part}" for part in name.split(".") if part not in _names(file)
        )


@cache
def _names(file: Path) -> frozenset[str]:
    """What a module defines, in classes too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found.add(node.name)
            case ast.Name(ctx=ast.Store()):
                found.add(node.id)
    return frozenset(found)


def _default(name: str) -> str:
    value: object = Settings.model_construct()
    for part in name.lower().split("__"):
        value = getattr(value, part)
    match value:
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.0f}"
        case list():
            return ",".join(value)
        case _:
            return str(value)


def _leaves(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The settings that hold a value, as the environment spells them without our prefix."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _leaves(field.annotation, f"{prefix}{name}__")
        else:
            yield f"{prefix}{name}".upper()


def _settings(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """As the environment spells them; groups too, which a table may shorten to `__FIELD`."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}".upper()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _settings(field.annotation, f"{prefix}{name}__".upper())
    if model is Settings:
        yield from (name.upper() for name in ClientSettings.model_fields)


def test_no_page_installs_a_name_that_is_not_ours() -> None:
    """Whoever registers it somewhere would run their code on the machine of the reader."""
    install = re.compile(r"\b(?:install|uvx|pipx run)\s+(?:-\S+\s+)*statewright\b")
    files = [
        *_PAGES,
        _ROOT / "Dockerfile",
        _ROOT / "compose.yaml",
        *_ROOT.glob("examples/**/*.yaml"),
    ]
    assert [file.name for file in files if install.search(file.read_text())] == []

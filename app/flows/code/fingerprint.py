"""What tells the code of two releases of a package of flows apart."""

import hashlib
from pathlib import Path
from types import ModuleType

_TEMPLATES = "templates"


def fingerprint(package: ModuleType) -> str:
    """A digest of a package's modules and templates, the same wherever and whenever it is made.

    What a flow does may depend on any of its package's modules, so all of its flows have the same.
    """
    digest = hashlib.sha256()
    for name, file in sorted(_files(package).items()):
        content = file.read_bytes()
        digest.update(b"%d %s %d %s" % (len(name), name.encode(), len(content), content))
    return digest.hexdigest()[:16]


def _files(package: ModuleType) -> dict[str, Path]:
    """The files of the package by the name that they have in it."""
    roots = [Path(path) for path in getattr(package, "__path__", [])]
    files = {file.relative_to(root).as_posix(): file for root in roots for file in _tree(root)}
    if not roots and package.__file__:
        module = Path(package.__file__)
        beside = module.parent / _TEMPLATES
        files = {file.relative_to(module.parent).as_posix(): file for file in _tree(beside)}
        files[""] = module
    return files


def _tree(root: Path) -> list[Path]:
    return [file for file in root.rglob("*") if file.is_file() and _counts(file)]


def _counts(file: Path) -> bool:
    return file.suffix == ".py" or (_TEMPLATES in file.parts and file.suffix != ".pyc")

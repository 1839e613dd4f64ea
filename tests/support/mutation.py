"""Mutations: a safeguard is switched off in a copy of the tree, where tests must fail then.

The product has no switch for this: each mutation is a change of the copy's text.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

_ROOT = Path(__file__).parents[2]
_COPIED = ("app", "migrations", "tests", "pyproject.toml", "alembic.ini", "compose.yaml")


@dataclass(frozen=True)
class Mutation:
    """What is replaced in which file, and the tests, of a folder or file, that must fail then.

    Attributes:
        changes: files, each with a text that is in it and what is put for it.
        must_fail: names of tests; one without its parameters fails where it does for any of them.
        where: the folder or the file of the tests.
    """

    changes: tuple[tuple[str, str, str], ...]
    must_fail: tuple[str, ...]
    where: str


def stale(mutation: Mutation) -> Iterator[str]:
    """What a mutation names and the tree does not have any more."""
    for name, old, _ in mutation.changes:
        path = _ROOT / name
        if not path.exists() or old not in path.read_text():
            yield f"{name} does not contain {old!r}"
    where = _ROOT / mutation.where
    texts = [file.read_text() for file in ([where] if where.is_file() else where.glob("*.py"))]
    for test in mutation.must_fail:
        if not any(f"def {_function(test)}(" in text for text in texts):
            yield f"{mutation.where} has no {test}"


@contextmanager
def mutated(mutation: Mutation) -> Iterator[Path]:
    """A copy of the project, changed."""
    if faults := list(stale(mutation)):
        raise SystemExit("; ".join(faults))
    with tempfile.TemporaryDirectory(prefix="statewright-mutated-") as directory:
        copy = Path(directory)
        copy.chmod(0o755)
        for name in _COPIED:
            source = _ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name)
            else:
                shutil.copy(source, copy)
        for name, old, new in mutation.changes:
            path = copy / name
            path.write_text(path.read_text().replace(old, new))
        yield copy


def run_in(directory: Path, *arguments: str) -> str:
    """What Python prints when it is run with the arguments in a copy."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        # What a developer's shell would pass on, and the copy in front of what is installed.
        env={**os.environ, "PYTHONPATH": str(directory)},  # noqa: TID251
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    ).stdout


def main(mutations: Mapping[str, Mutation], chosen: Sequence[str], *, workers: int) -> int:
    """Runs the tests of the chosen mutations, or of all; 1 if one that should fail passed.

    Args:
        mutations: by name.
        chosen: names of them; another has them listed.
        workers: processes in which the tests of one run.
    """
    if not mutations.keys() >= set(chosen):
        sys.stdout.write("\n".join(["Names, in quotes; none for all:", *mutations]) + "\n")
        return 2
    toothless = 0
    for name in chosen or mutations:
        mutation = mutations[name]
        with mutated(mutation) as copy:
            ends = _ends(mutation, copy, workers)
        for test in mutation.must_fail:
            end = ends.get(test, "was not run")
            failed = end not in ("passed", "was not run")
            toothless += not failed
            sys.stdout.write(f"{name}: {test} {'fails' if failed else 'DOES NOT FAIL'}: {end}\n")
            sys.stdout.flush()
    return 1 if toothless else 0


def _ends(mutation: Mutation, copy: Path, workers: int) -> dict[str, str]:
    """How each test ended: passed, or the first line of its failure; by name, and by function."""
    names = {_function(test) for test in mutation.must_fail}
    report = copy / "report.xml"
    run_in(
        copy,
        *("-m", "pytest", "-q", "-n", str(workers), mutation.where),
        *("-k", " or ".join(names), f"--junitxml={report}"),
    )
    if not report.exists():
        return {}
    ends: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it
        name, end = case.attrib["name"], _end_of(case)
        ends[name] = end
        if ends.get(_function(name), "passed") == "passed":
            ends[_function(name)] = end
    return ends


def _function(test: str) -> str:
    return test.partition("[")[0]


def _end_of(case: ElementTree.Element) -> str:
    for kind in ("failure", "error"):
        found = case.find(kind)
        if found is not None:
            lines = [line for line in (found.text or "").splitlines() if "AssertionError:" in line]
            return (lines or [found.attrib.get("message", kind)])[-1].strip(" |E")[:300]
    return "passed"

"""Generates an SDK by each generator, and has each drive an agent on a real server.

`make sdks`, or `make sdks ARGS=go` for one. Fails on a warning of a generator, on a name that it
made up, on a type that does not compile, and on a job that does not end as it should.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from app.main import create_app
from app.settings import Settings, environment_with
from tests.support.dev import RunningDev

HERE = Path(__file__).parent
BIN = HERE / ".venv/bin"
NODE_BIN = HERE / "node_modules/.bin"
BUILD = Path("build/sdks").absolute()
DOCUMENT = BUILD / "openapi.json"
# Debian's libjakarta-annotation-api-java; all else that the Java client needs is in the generator.
ANNOTATIONS = Path("/usr/share/java/jakarta-annotation-api.jar")

# What a generator says of every document of OpenAPI 3.1, even of one with a single schema.
OF_3_1 = (
    "OpenAPI 3.1 support is still in beta",
    "Failed to get the schema name: null",
    # Of the query parameter `from` of 3.1 alone; it keeps its name, `var_from`.
    "From (reserved word) cannot be used as model name",
)
MADE_UP = re.compile(
    r"\w*(?:Payload\d|ContentInner|DefaultOne|[Ii]nline_?[Oo]bject|_(?:any|one|all)_?[oO]f|"
    r"(?:Any|One|All)Of\d*\b|[Tt]ype_?\d)\w*"
)
# Names of a library of theirs, not of types.
THEIRS = re.compile(r"^(?:\w*_schemas?_?\w*|type\d)$")

Said = list[str]


def main(*names: str) -> None:
    """Does all, or those that are named."""
    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir(parents=True)
    DOCUMENT.write_text(json.dumps(create_app(Settings(dev=True, log_level="ERROR")).openapi()))
    _install()
    if not names:
        _types()
    drives = {name: make() for name, make in SDKS.items() if not names or name in names}
    faults = [f"{sdk.name}: the name {name}" for sdk in BUILD.iterdir() for name in _made_up(sdk)]
    dev = RunningDev(BUILD / "dev").wait_until_up()
    try:
        for name, drive in drives.items():
            faults += _drive(name, drive, dev.state)
    finally:
        dev.stop()
    if faults:
        sys.exit("\n".join(faults))
    print(f"{len(drives)} SDKs were generated without a warning, and drove an agent")


def _install() -> None:
    """Debian's packages, where they are missing: a compiler of Java, and its annotations."""
    wanted = [] if shutil.which("javac") else ["default-jdk-headless"]
    wanted += [] if ANNOTATIONS.exists() else ["libjakarta-annotation-api-java"]
    if wanted:
        sudo = [] if os.geteuid() == 0 else ["sudo"]
        _run(*sudo, "apt-get", "update", "-q")
        _run(*sudo, "apt-get", "install", "-qy", "--no-install-recommends", *wanted)


def _run(*command: str | Path, cwd: Path = BUILD, **environment: str) -> str:
    """What a command prints; ends everything where it fails."""
    path = os.pathsep.join(
        [str(BIN.absolute()), str(NODE_BIN.absolute()), environment_with({})["PATH"]]
    )
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment_with({"PATH": path, **environment}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}:\n{done.stdout}")
    return done.stdout


def _generate(*command: str | Path) -> None:
    """Runs a generator; ends everything where it warns."""
    printed = _run(*command)
    warnings = [
        line
        for line in printed.splitlines()
        if re.search(r"\bWARN(?:ING)?\b|\bwarn(?:ing)?s?\b|⚠", line)
        and not any(known in line for known in OF_3_1)
    ]
    if warnings:
        sys.exit(f"{command[0]} warns:\n" + "\n".join(warnings))


def _openapi_generator(language: str, *options: str) -> None:
    files = ("-i", DOCUMENT, "-o", BUILD / language)
    _generate("openapi-generator-cli", "generate", "-g", language, *files, *options)


def _python() -> list[str | Path]:
    _openapi_generator("python")
    return [BIN.absolute() / "python", HERE.absolute() / "drive/generator.py"]


def _python_client() -> list[str | Path]:
    config = BUILD / "python_client.yaml"
    # The generator knows no type for YAML: it sends the text as a JSON string, which is taken too.
    overrides = "content_type_overrides: {application/yaml: application/json}\n"
    config.write_text(f"post_hooks: []\n{overrides}")
    output = BUILD / "python-client/statewright_client"
    output.parent.mkdir()
    command = ("openapi-python-client", "generate", "--meta", "none", "--fail-on-warning")
    _generate(*command, "--path", DOCUMENT, "--config", config, "--output-path", output)
    return [BIN.absolute() / "python", HERE.absolute() / "drive/python_client.py"]


def _typescript() -> list[str | Path]:
    _openapi_generator("typescript-fetch")
    return _compiled("fetch.ts")


def _hey() -> list[str | Path]:
    _generate("openapi-ts", "-i", DOCUMENT, "-o", BUILD / "hey", "-c", "@hey-api/client-fetch")
    return _compiled("hey.ts")


def _compiled(source: str) -> list[str | Path]:
    """Type-checks a program with what it imports, as strictly as can be, and compiles it."""
    shutil.copy(HERE / "drive" / source, BUILD / source)
    options = ("--strict", "--target", "es2022", "--module", "commonjs", "--outDir", BUILD / "js")
    types = ("--typeRoots", HERE.absolute() / "node_modules/@types", "--types", "node")
    _run("tsc", *options, *types, BUILD / source)
    return ["node", (BUILD / "js" / source).with_suffix(".js")]


def _types() -> None:
    """openapi-typescript makes types alone: a program that uses them compiles."""
    _generate("openapi-typescript", DOCUMENT, "-o", BUILD / "openapi.d.ts")
    _compiled("types.ts")


def _go() -> list[str | Path]:
    own = "packageName=statewright,isGoSubmodule=true"
    # Constants of two enums may have one name; of blocks of messages the type is looked at.
    options = f"{own},enumClassPrefix=true,useOneOfDiscriminatorLookup=true"
    _openapi_generator("go", f"--additional-properties={options}")
    shutil.rmtree(BUILD / "go/test")
    (BUILD / "go/go.mod").write_text("module statewright\n\ngo 1.23\n")
    program = BUILD / "go-drive"
    program.mkdir()
    shutil.copy(HERE / "drive/main.go", program)
    (program / "go.mod").write_text(
        "module drive\n\ngo 1.23\n\nrequire statewright v0.0.0\n\nreplace statewright => ../go\n"
    )
    _run("go", "vet", "./...", cwd=BUILD / "go", GOFLAGS="-mod=mod", GOPROXY="off")
    _run("go", "build", "-o", "drive", ".", cwd=program, GOFLAGS="-mod=mod", GOPROXY="off")
    return [program / "drive"]


def _java() -> list[str | Path]:
    options = "openApiNullable=false,useJakartaEe=true"
    _openapi_generator("java", "--library", "native", f"--additional-properties={options}")
    [library] = BIN.parent.glob("lib/*/site-packages/openapi_generator_cli/*.jar")
    classes = f"{library.absolute()}:{ANNOTATIONS}"
    sources = sorted((BUILD / "java/src/main").rglob("*.java"))
    main = HERE.absolute() / "drive/Main.java"
    _run("javac", "-d", BUILD / "classes", "-cp", classes, *sources, main)
    return ["java", "-cp", f"{BUILD / 'classes'}:{classes}", "Main"]


SDKS: dict[str, Callable[[], list[str | Path]]] = {
    "openapi-python-client": _python_client,
    "python": _python,
    "typescript-fetch": _typescript,
    "go": _go,
    "java": _java,
    "openapi-ts": _hey,
}


def _made_up(sdk: Path) -> Iterator[str]:
    """The names of types that a generator had to make up, in the code of one SDK."""
    found: set[str] = set()
    for file in sdk.rglob("*") if sdk.is_dir() else ():
        if file.suffix in {".py", ".ts", ".go", ".java"}:
            declared = re.findall(r"\b(?:class|interface|type|enum|struct) (\w+)", file.read_text())
            found |= {name for name in (*declared, file.stem) if MADE_UP.fullmatch(name)}
    yield from sorted(name for name in found if not THEIRS.match(name))


def _drive(name: str, command: list[str | Path], state: dict[str, Any]) -> Said:
    """Runs the program of one SDK; what is not as it should be."""
    own = re.sub(r"[^a-z]+", "-", name)
    python_path = f"{BUILD / 'python'}{os.pathsep}{BUILD / 'python-client'}"
    printed = _run(*command, state["base_url"], state["api_key"], own, PYTHONPATH=python_path)
    messages, *operations = printed.splitlines()
    expected = [
        "Tell me about tea.",
        "[echo model] You said: Tell me about tea.",
        "And rum?",
        "[echo model] You said: And rum?",
    ]
    if json.loads(messages) == expected and operations == ["created", "updated"]:
        print(f"{name}: done")
        return []
    return [f"{name}: {printed}"]


if __name__ == "__main__":
    main(*sys.argv[1:])

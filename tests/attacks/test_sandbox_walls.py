"""Whoever breaks out of the sandbox of templates finds a process that can do nothing."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from app.flows.rendering import sandbox_walls
from app.flows.rendering.jinja import SANDBOX, TemplateError
from app.flows.rendering.sandbox import SandboxRenderer

# Makes the attempts of a program, and keeps what came of each.
ATTEMPT = """
for name, attempt in attempts.items():
    try:
        attempt()
        found[name] = "done"
    except OSError as error:
        found[name] = errno.errorcode[error.errno]
"""
# What a template that broke out would try, behind the walls but without the limits: those are
# another wall, and would hide a hole in this one.
ESCAPE = (
    """
import errno, json, os, resource, socket, sys
sys.path.append(sys.argv[1])
from sandbox_walls import raise_walls
parent, (reader, writer) = os.getppid(), os.pipe()
attempts = {
    "read a file": lambda: open("/etc/passwd"),
    "write a file": lambda: open("/tmp/left-by-a-template", "w"),
    "list a folder": lambda: os.listdir("/proc"),
    "open a socket": lambda: socket.socket(),
    "open a local socket": lambda: socket.socket(socket.AF_UNIX),
    "start a process": lambda: os.fork(),
    "run a program": lambda: os.execv("/bin/true", ["true"]),
    "send a signal": lambda: os.kill(parent, 0),
    "become root": lambda: os.setuid(0),
    "wait for others": lambda: os.waitpid(-1, 0),
    "rename the host": lambda: socket.sethostname("x"),
    "remove a file": lambda: os.unlink("/tmp/left-by-a-template"),
    "raise a limit": lambda: resource.prlimit(parent, resource.RLIMIT_CORE),
}
walls, found = raise_walls(), {}
"""
    + ATTEMPT
    + """os.write(writer, b"x")
print(json.dumps({"walls": walls, "found": found, "pipe": os.read(reader, 1).decode()}))
"""
)

# The same where the kernel, or the machine, has no filter for calls: files and network are shut off
# by themselves.
WITHOUT_FILTER = (
    """
import errno, json, os, socket, sys
sys.path.append(sys.argv[1])
import sandbox_walls
sandbox_walls.CALLS = {}
walls, found = sandbox_walls.raise_walls(), {}
attempts = {
    "read a file": lambda: open("/etc/passwd"),
    "write a file": lambda: open("/tmp/left-by-a-template", "w"),
    "list a folder": lambda: os.listdir("/proc"),
    "run a program": lambda: os.execv("/bin/true", ["true"]),
    "call a server": lambda: socket.socket().connect((b"127.0.0.1", int(sys.argv[2]))),
}
"""
    + ATTEMPT
    + """print(json.dumps({"walls": walls, "found": found}))
"""
)
linux = sys.platform == "linux" and os.uname().machine in sandbox_walls.CALLS


def test_nothing_of_the_system_can_be_reached() -> None:
    folder = Path(sandbox_walls.__file__).parent
    run = subprocess.run(
        [sys.executable, "-I", "-c", ESCAPE, str(folder)],
        capture_output=True,
        check=True,
        text=True,
    )
    seen = json.loads(run.stdout)
    assert seen["pipe"] == "x"
    assert ("user" in seen["walls"]) == (os.geteuid() == 0)
    if linux:
        assert seen["walls"][-2:] == ["no-new-privileges", "seccomp"]
        assert set(seen["found"].values()) == {"EPERM"}, seen["found"]


def test_files_and_network_are_shut_off_by_themselves() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        folder, port = str(Path(sandbox_walls.__file__).parent), server.getsockname()[1]
        run = subprocess.run(
            [sys.executable, "-I", "-c", WITHOUT_FILTER, folder, str(port)],
            capture_output=True,
            check=True,
            text=True,
        )
    seen = json.loads(run.stdout)
    called = seen["found"].pop("call a server")
    if "files" in seen["walls"]:  # the kernel has Landlock
        assert set(seen["found"].values()) == {"EACCES"}
    if "network" in seen["walls"]:  # this is root, and may
        assert called == "ENETUNREACH"
    assert "seccomp" not in seen["walls"]


def statuses_of_children() -> list[dict[str, str]]:
    """What the kernel says of the renderers that this process has."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            lines = (process / "status").read_text().splitlines()
            command = (process / "cmdline").read_bytes()
        except OSError:  # it ended
            continue
        status = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if status["PPid"] == str(os.getpid()) and b"sandbox_child" in command:
            found.append(status)
    return found


async def test_a_child_that_renders_stands_behind_the_walls() -> None:
    async with SandboxRenderer() as renderer:
        assert await renderer.render("{{ x | upper }}", {"x": "a"}) == "A"
        [status] = statuses_of_children()
    if linux:
        assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
    assert set(status["Uid"].split()) == {str(os.geteuid() or sandbox_walls.USER)}
    assert int(status["CapEff"], 16) == 0


async def test_every_filter_has_what_it_loads_on_first_use() -> None:
    """Behind the walls no file can be opened, that of a module neither."""
    faults = dict[str, str]()
    async with SandboxRenderer() as renderer:
        for name in SANDBOX.filters:
            try:
                await renderer.render(f"{{{{ 'a <b>&amp; c'|{name} }}}}", {})
            except TemplateError as error:
                faults[name] = str(error)
    unmet = ("ModuleNotFoundError", "ImportError", "OSError", "PermissionError")
    assert {n: text for n, text in faults.items() if any(one in text for one in unmet)} == {}

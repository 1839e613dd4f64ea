"""A real `statewright dev` in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from app.dev import tether
from app.kit.certificates import NO_CERTIFICATES

_START_SECONDS = 60.0
COMMAND = (sys.executable, "-m", "app.cli")
# A test run that is killed takes it along.
_TETHER = (sys.executable, tether.__file__, str(int(signal.SIGKILL)), str(os.getpid()), "")


def wait_for(condition: Callable[[], Any], *, seconds: float, what: str) -> Any:
    """Ask until the answer is true, and return it: for the state of other processes."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)
    return answer


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def outer_environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what says where services are."""
    kept = {
        name: value
        for name, value in os.environ.items()  # noqa: TID251 - what a user's shell would pass on
        if name not in {"DATABASE_URL", "REDIS_URL"} and not name.startswith("STATEWRIGHT_")
    }
    return {**kept, **(changes or {})}


def interruptible(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a process that Ctrl-C ends, also where the test run itself ignores SIGINT.

    A shell lets the background jobs of a script ignore it, and so do their children. The command
    is right to leave that as it is; a test that sends SIGINT starts it as a terminal does.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(command, **options)
    finally:
        signal.signal(signal.SIGINT, before)


class RunningDev:
    """Started when made, up after `wait_until_up()`; `output` is what it printed so far."""

    def __init__(
        self,
        data_dir: Path,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir
        self._output = data_dir.with_name(f"{data_dir.name}.{time.monotonic_ns()}.out")
        with self._output.open("w") as output:
            self.process = subprocess.Popen(
                [*_TETHER, *COMMAND, "dev", "--port", "0", "--data-dir", str(data_dir), *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=outer_environment(environment),
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def state(self) -> dict[str, Any]:
        """dev.json as it is now."""
        state: dict[str, Any] = json.loads((self.data_dir / "dev.json").read_text())
        return state

    @property
    def pids(self) -> list[int]:
        """Every process that dev.json names."""
        pids = self.state["pids"]
        return [
            pid for pid in (*pids["workers"], pids["api"], pids["postgres"], pids["redis"]) if pid
        ]

    def wait_until_up(self) -> "RunningDev":
        wait_for(self._is_up_or_over, seconds=_START_SECONDS, what=f"dev is up: {self.output}")
        assert self.process.poll() is None, self.output
        return self

    def _is_up_or_over(self) -> bool:
        return "Ctrl-C" in self.output or self.process.poll() is not None

    def is_ready(self) -> bool:
        try:
            url = f"{self.state['base_url']}/health/ready"
            return httpx.get(url, verify=NO_CERTIFICATES, timeout=5).is_success
        except (httpx.TransportError, OSError):
            return False

    def api(self) -> httpx.Client:
        """A client with the printed key."""
        headers = {"Authorization": f"Bearer {self.state['api_key']}"}
        return httpx.Client(
            base_url=self.state["base_url"], headers=headers, verify=NO_CERTIFICATES, timeout=20
        )

    def stop(self, number: signal.Signals = signal.SIGINT) -> float:
        """Send the signal and wait for the end. Returns how long it took, in seconds."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(timeout=30)
        return time.monotonic() - began


def statewright(
    *arguments: str, environment: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    words: Sequence[str] = [*COMMAND, *arguments]
    return subprocess.run(
        words,
        env=outer_environment(environment),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

"""Ends a PostgreSQL that a killed run left behind, and clears its lock file."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

_PATIENCE_SECONDS = 5.0


def end_leftover(data: Path) -> None:
    """Makes the data directory free for the next start; blocks for up to ten seconds.

    PostgreSQL takes any living process with the recorded id for a server, even one that got the id
    later; so the id is believed only if that process was started on this directory. Without /proc
    (macOS) the file is left to PostgreSQL's own judgement.
    """
    lock = data / "postmaster.pid"
    if not lock.exists() or not Path("/proc/self").exists():
        return
    first_line = lock.read_text().partition("\n")[0]
    pid = int(first_line) if first_line.isdecimal() else 0
    for number in (signal.SIGQUIT, signal.SIGKILL):
        _end(pid, number, data)
    lock.unlink(missing_ok=True)


def _end(pid: int, number: signal.Signals, data: Path) -> None:
    if not _serves(pid, data):
        return
    with suppress(ProcessLookupError):
        os.kill(pid, number)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while _serves(pid, data) and time.monotonic() < deadline:
        time.sleep(0.02)


def _serves(pid: int, data: Path) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return words[0].endswith(b"postgres") and str(data).encode() in words

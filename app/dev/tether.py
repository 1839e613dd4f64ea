"""Become a program that the kernel ends when the parent dies, however the parent dies.

    python -I -S tether.py SIGNAL PARENT USER PROGRAM ARGUMENT…

A script of its own, not a function that runs between fork and exec: the kernel forgets the signal
when a process changes its user, so both must happen here, in this order. USER is "" for the same.
"""

import ctypes
import os
import pwd
import sys

_PR_SET_PDEATHSIG = 1


def _main(signal: int, parent: int, user: str, command: list[str]) -> None:
    if user:
        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal)
    if os.getppid() != parent:  # it died before the line above
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - starting a program is all this file does


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])

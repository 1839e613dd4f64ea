"""What a renderer's process gives up: network, files, its user, and nearly all system calls.

For a template that broke out of Jinja's sandbox: it must find nothing there. Loaded by its path, as
`sandbox_child` is. Where the system has none of a wall, the others stand alone.
"""

import ctypes
import os
import struct
import sys
from collections.abc import Callable

# A user that nothing else runs as: `nobody` runs the embedded PostgreSQL. Its number lies between
# those of people and those that containers are given.
USER = 62_333

_NEW_NETWORK = 0x40000000  # of unshare
# Landlock: the numbers of its calls, alike on all machines, and all that its first version knows of
# what is done with files.
_CREATE_RULESET, _RESTRICT_SELF, _ALL_OF_FILES = 444, 446, 0x1FFF
_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 4, 22, 38
_MODE_FILTER = 2
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | 1, 0x80000000  # refused: EPERM
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_ABOVE, _RETURN = 0x20, 0x15, 0x25, 0x06
_AT_NUMBER, _AT_ARCHITECTURE = 0, 4  # in the kernel's record of a call
_X32 = 0x3FFFFFFF  # above are the calls of another interface of x86-64

# What reading, writing, computing, the timer and the end take: the kernel's numbers, by the machine
# and how the kernel names that.
# fmt: off
CALLS = {
    "x86_64": (0xC000003E, (
        0, 1, 3, 5, 7, 8,  # read write close fstat poll lseek
        9, 10, 11, 12,  # mmap mprotect munmap brk
        13, 14, 15, 19, 20,  # rt_sigaction rt_sigprocmask rt_sigreturn readv writev
        24, 25, 28, 36, 38,  # sched_yield mremap madvise getitimer setitimer
        39, 60, 96, 98, 131,  # getpid exit gettimeofday getrusage sigaltstack
        186, 201, 202, 219,  # gettid time futex restart_syscall
        228, 229, 230, 231,  # clock_gettime clock_getres clock_nanosleep exit_group
        318, 334,  # getrandom rseq
    )),
    "aarch64": (0xC00000B7, (
        57, 62, 63, 64, 65, 66, 73, 80,  # close lseek read write readv writev ppoll fstat
        93, 94, 98, 102, 103,  # exit exit_group futex getitimer setitimer
        113, 114, 115, 124, 128,  # clock_gettime _getres _nanosleep sched_yield restart_syscall
        132, 134, 135, 139,  # sigaltstack rt_sigaction rt_sigprocmask rt_sigreturn
        165, 169, 172, 178,  # getrusage gettimeofday getpid gettid
        214, 215, 216, 222,  # brk munmap mremap mmap
        226, 233, 278, 293,  # mprotect madvise getrandom rseq
    )),
}
# fmt: on


def raise_walls(confine: Callable[[], None] = lambda: None) -> list[str]:
    """Gives up what can be given up; returns the names of what was.

    After it no file, socket or process can be opened, and no signal sent.

    Args:
        confine: sets the limits of the process, once no file need be opened any more.
    """
    first = {"network": _leave_network, "files": _forbid_files}
    walls = {"user": _drop_user, "no-new-privileges": _no_new_privileges, "seccomp": _filter_calls}
    stand = [name for name, wall in first.items() if _stands(wall)]
    confine()
    return stand + [name for name, wall in walls.items() if _stands(wall)]


def _stands(wall: Callable[[], bool]) -> bool:
    try:
        return wall()
    except (OSError, AttributeError):
        return False


def _leave_network() -> bool:
    """Goes to a network of its own, in which there is nothing; root may."""
    _check(_library().unshare(_NEW_NETWORK))
    return True


def _forbid_files() -> bool:
    """Has the kernel refuse all that is done with files by their names."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)  # without it only root may
    library, refused = _library(), ctypes.c_uint64(_ALL_OF_FILES)
    size = ctypes.c_size_t(ctypes.sizeof(refused))
    ruleset = _check(library.syscall(_CREATE_RULESET, ctypes.byref(refused), size, 0))
    try:
        _check(library.syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)
    return True


def _drop_user() -> bool:
    """Becomes a user of no one's, where this is root."""
    if os.geteuid() != 0:
        return False
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)
    return True


def _no_new_privileges() -> bool:
    """Gains nothing by running a program, and lets no other process of its user look into it."""
    _prctl(_PR_SET_DUMPABLE, 0)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    return True


def _filter_calls() -> bool:
    """Has the kernel refuse all calls but those that a renderer needs."""
    machine = os.uname().machine
    if sys.platform != "linux" or machine not in CALLS:
        return False
    rules = _program(*CALLS[machine])
    buffer = ctypes.create_string_buffer(rules, len(rules))
    program = struct.pack("HxxxxxxP", len(rules) // 8, ctypes.addressof(buffer))
    _prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.create_string_buffer(program, len(program)))
    return True


def _program(architecture: int, calls: tuple[int, ...]) -> bytes:
    """The rules, as the kernel's packet filter runs them."""
    rules = [
        (_LOAD, 0, 0, _AT_ARCHITECTURE),
        (_JUMP_IF_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _AT_NUMBER),
        (_JUMP_IF_ABOVE, len(calls), 0, _X32),
    ]
    for index, call in enumerate(calls):
        rules.append((_JUMP_IF_EQUAL, len(calls) - index, 0, call))
    rules += [(_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("HBBI", *rule) for rule in rules)


def _prctl(option: int, value: int, pointer: object = None) -> None:
    function = _library().prctl
    function.argtypes = [
        ctypes.c_int,
        ctypes.c_ulong,
        ctypes.c_void_p,
        ctypes.c_ulong,
        ctypes.c_ulong,
    ]
    _check(function(option, value, pointer, 0, 0))


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> int:
    """What a call of the system returned, where it did its part."""
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

"""The system call filter of a sandboxed VM host: a list of rules made into BPF.

What is not listed kills the process: a VM host that asks for it has been taken over.
What ordinary Python or C code may try on its way to an error message (opening a file
for a traceback, asking for a terminal) is refused with an error instead.

The host gets its listening socket and its threads before the filter is loaded, so that
nothing that makes sockets, opens files or starts programs is on the list. Some of the
forbidden calls answer EPERM to arguments that could do nothing anyway (`probes`), so
that a host can ask whether the filter is there and live (`vmhost.confine`).

Comparisons look at the low 32 bits of an argument: that is all the kernel itself looks
at in each argument compared here (int, flags below 2**32, one bit of `prot`).
"""

import errno
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from vmhost.syscalls import Architecture, number_on

KILL: Final = 0x80000000  # SECCOMP_RET_KILL_PROCESS
ALLOW: Final = 0x7FFF0000  # SECCOMP_RET_ALLOW
_ERRNO: Final = 0x00050000  # SECCOMP_RET_ERRNO, the errno below

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS: accumulator = word of seccomp_data
_AND: Final = 0x54  # BPF_ALU | BPF_AND | BPF_K
_SAME: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K

_NUMBER_AT: Final = 0  # offsets in struct seccomp_data
_PROCESSOR_AT: Final = 4
_ARGUMENTS_AT: Final = 16

# pthread_create of glibc: VM FS FILES SIGHAND THREAD SYSVSEM SETTLS PARENT_SETTID
# CHILD_CLEARTID; musl adds the ignored DETACHED.
_NEW_THREAD: Final = 0x003D0F00
_DETACHED: Final = 0x00400000

_PR_SET_NAME: Final = 15
_PROT_EXEC: Final = 4
_FCNTL_HARMLESS: Final = (0, 1, 2, 3, 4, 1030)  # DUPFD GETFD SETFD GETFL SETFL, CLOEXEC
_IPPROTO_TCP: Final = 6
_CLONE_THREAD: Final = 0x00010000
_NO_SUCH: Final = 0x7FFF  # address family, signal, ptrace request

Probe = tuple[str, tuple[int, ...]]
"""A forbidden call and arguments for which no kernel does anything."""


@dataclass(frozen=True, slots=True)
class Argument:
    """A test of one argument: `argument & mask == value`, 32 bits."""

    index: int
    value: int
    mask: int = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do with a system call when all tests hold; the first rule wins."""

    name: str
    action: int
    tests: tuple[Argument, ...] = ()


def refuse(code: int) -> int:
    """Return the action that answers a call with an errno."""
    return _ERRNO | code


_FREE: Final = """
    read write writev close poll ppoll epoll_wait epoll_pwait epoll_ctl
    recvfrom sendto accept accept4 getsockopt getsockname getpeername shutdown
    futex brk munmap mremap madvise mlock munlock
    clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time
    getpid gettid getrandom getrusage setitimer
    rt_sigprocmask rt_sigreturn sigaltstack restart_syscall
    sched_yield set_robust_list rseq exit exit_group
    sched_getscheduler sched_getparam sched_setscheduler
"""  # the last three: libzmq's threads, which may still be on their way up

_NO_FILES: Final = """
    open openat openat2 stat lstat fstat newfstatat statx
    readlink readlinkat access faccessat faccessat2 getcwd
"""

_REFUSED: Final = """
    lseek ioctl getdents64 rt_sigaction sched_getaffinity prlimit64 uname sysinfo
"""


def rules(pid: int, *, jit: bool, tcp: bool) -> list[Rule]:
    """Return the rules of a host process.

    pid: its own, the only one it may signal. jit: executable memory is allowed.
    tcp: it serves TCP connections, whose options libzmq sets when it accepts one.
    """
    listed = [Rule(name, ALLOW) for name in _FREE.split()]
    listed += [Rule(name, refuse(errno.ENOENT)) for name in _NO_FILES.split()]
    listed += [Rule(name, refuse(errno.EACCES)) for name in _REFUSED.split()]
    # without flags in registers a filter cannot judge; glibc falls back to clone
    listed.append(Rule("clone3", refuse(errno.ENOSYS)))
    thread = Argument(0, _NEW_THREAD, 0xFFFFFFFF & ~_DETACHED)
    listed.append(Rule("clone", ALLOW, (thread,)))
    listed.append(Rule("prctl", ALLOW, (Argument(0, _PR_SET_NAME),)))
    listed.append(Rule("tgkill", ALLOW, (Argument(0, pid),)))
    listed += [Rule("fcntl", ALLOW, (Argument(1, c),)) for c in _FCNTL_HARMLESS]
    listed.append(Rule("fcntl", refuse(errno.EPERM)))
    executable = () if jit else (Argument(2, 0, _PROT_EXEC),)
    listed += [Rule(name, ALLOW, executable) for name in ("mmap", "mprotect")]
    if tcp:
        listed.append(Rule("setsockopt", ALLOW, (Argument(1, _IPPROTO_TCP),)))
    listed.append(Rule("setsockopt", refuse(errno.EPERM)))
    for name, values in probes(jit=jit):
        tests = [Argument(index, value) for index, value in enumerate(values)]
        listed.append(Rule(name, refuse(errno.EPERM), tuple(tests)))
    return listed


def probes(*, jit: bool) -> list[Probe]:
    """Return the calls that a host tries behind its filter: EPERM, and it lives on.

    Without a filter the kernel answers each with another error.
    """
    found: list[Probe] = [
        ("socket", (_NO_SUCH,)),
        ("execve", (0,)),
        ("clone", (_CLONE_THREAD,)),  # not without CLONE_SIGHAND: clone(2)
        ("kill", (0, _NO_SUCH)),
        ("ptrace", (_NO_SUCH, 0)),
    ]
    if not jit:
        found.append(("mmap", (0, 0, _PROT_EXEC)))  # of no length
        found.append(
            ("mprotect", (1, 0, _PROT_EXEC))
        )  # at an address that is no page's
    return found


def compile_rules(listed: Iterable[Rule], processor: Architecture) -> bytes:
    """Return the BPF program of the rules; names that a processor lacks are left out.

    Calls by another convention (i386, x32) have another processor word or number and
    are killed.
    """
    by_number: dict[int, list[Rule]] = {}
    for rule in listed:
        number = number_on(rule.name, processor)
        if number is not None:
            by_number.setdefault(number, []).append(rule)
    program = [
        _step(_LOAD, _PROCESSOR_AT),
        _step(_SAME, processor, matched=1),
        _step(_RETURN, KILL),
        _step(_LOAD, _NUMBER_AT),
    ]
    for number, choices in by_number.items():
        block = _choose(choices)
        program.append(_step(_SAME, number, otherwise=len(block)))
        program += block
    program.append(_step(_RETURN, KILL))
    return b"".join(program)


def _choose(choices: list[Rule]) -> list[bytes]:
    """Return the steps for one system call: the first rule that holds, or the end."""
    block: list[bytes] = []
    for rule in choices:
        rest: list[bytes] = [_step(_RETURN, rule.action)]
        for test in reversed(rule.tests):
            look = [_step(_LOAD, _ARGUMENTS_AT + 8 * test.index)]
            if test.mask != 0xFFFFFFFF:
                look.append(_step(_AND, test.mask))
            rest = [*look, _step(_SAME, test.value, otherwise=len(rest)), *rest]
        block += rest
    if choices[-1].tests:
        block.append(_step(_RETURN, KILL))
    return block


def _step(code: int, constant: int, *, matched: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("=HBBI", code, matched, otherwise, constant)

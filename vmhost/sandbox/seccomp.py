"""The system call filter of a sandboxed VM host: a list of rules made into BPF.

What is not listed kills the process: a VM host that asks for it has been taken over.
What ordinary Python or C code may try on its way to an error message (opening a file
for a traceback, asking for a terminal) is refused with an error instead.

The host gets its listening socket and its threads before the filter is loaded, so that
nothing that makes sockets or threads, opens files or starts programs is on the list. A
host that serves with keys has libzmq in it, which needs more; one without keys does not
get that. docs/sandbox.md says of each call what it is for. Some of the forbidden calls
answer EPERM to arguments that could do nothing anyway (`probes`), so that a host can
ask whether the filter is there and live (`vmhost.sandbox.confine`).

Comparisons look at the low 32 bits of an argument: that is all the kernel itself looks
at in each argument compared here (int, flags below 2**32, one bit of `prot`).
"""

import errno
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from vmhost.sandbox.syscalls import Architecture, number_on

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

_PR_SET_NAME: Final = 15
_PROT_EXEC: Final = 4
_MAP_KIND: Final = 0x2F  # the type of a mapping, and MAP_ANONYMOUS
_MAP_OWN: Final = 0x22  # MAP_PRIVATE | MAP_ANONYMOUS: memory that nobody else sees
_MREMAP_MAYMOVE: Final = 1
_MADV_DONTNEED: Final = 4
_MADV_DUMP: Final = (16, 17)  # DONTDUMP, DODUMP: libsodium, around its secrets
_FUTEX_FLAGS: Final = 0x180  # PRIVATE, CLOCK_REALTIME
_FUTEX_LOCKS: Final = (0, 1, 3, 9)  # WAIT, WAKE, REQUEUE (musl), WAIT_BITSET
_OWN_CLOCKS: Final = 0xF  # beyond are the CPU clocks of other processes: ~pid << 3
_F_GETFL: Final = 3
_F_SETFL: Final = 4
_O_NONBLOCK: Final = 0x800  # and the ways to open, which F_SETFL leaves alone
_O_ACCMODE: Final = 3
_SEND_FLAGS: Final = 0x4040  # DONTWAIT, NOSIGNAL; MSG_FASTOPEN would connect
_IPPROTO_TCP: Final = 6
_TCP_NODELAY: Final = 1
_CLONE_THREAD: Final = 0x00010000
_NO_SUCH: Final = 0x7FFF  # address family, signal, ptrace request
_ALL: Final = 0xFFFFFFFF

Probe = tuple[str, tuple[int, ...]]
"""A forbidden call and arguments for which no kernel does anything."""


@dataclass(frozen=True, slots=True)
class Argument:
    """A test of one argument: `argument & mask == value`, 32 bits."""

    index: int
    value: int
    mask: int = _ALL


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do with a system call when all tests hold; the first rule wins."""

    name: str
    action: int
    tests: tuple[Argument, ...] = ()


def refuse(code: int) -> int:
    """Return the action that answers a call with an errno."""
    return _ERRNO | code


def _none_but(index: int, allowed: int) -> Argument:
    """Return the test that an argument has no bits but these."""
    return Argument(index, 0, _ALL & ~allowed)


_FREE: Final = """
    read write writev close poll ppoll epoll_wait epoll_pwait epoll_ctl
    accept4 getsockname brk munmap gettimeofday time getpid gettid getrandom setitimer
    rt_sigprocmask rt_sigreturn restart_syscall exit exit_group
"""

_FREE_WITH_KEYS: Final = """
    recvfrom getpeername mlock munlock set_robust_list rseq
"""  # the last two: libzmq's threads, which may still be on their way up

_UNDONE_WITH_KEYS: Final = """
    sched_getscheduler sched_getparam sched_setscheduler
"""
"""What libzmq's threads ask of themselves, by an id that a filter cannot know, to stay
as they are: the answer is 0, and the kernel is not asked."""

_NO_FILES: Final = """
    open openat openat2 stat lstat fstat newfstatat statx
    readlink readlinkat access faccessat faccessat2 getcwd
"""

_REFUSED: Final = """
    lseek ioctl getdents64 rt_sigaction sched_getaffinity prlimit64 uname sysinfo
    clock_getres nanosleep getrusage sigaltstack sched_yield
"""


def rules(pid: int, *, jit: bool, keys: bool) -> list[Rule]:
    """Return the rules of a host process.

    pid: its own, the only one it may signal. jit: executable memory is allowed.
    keys: it serves with keys, over TCP, by libzmq.
    """
    # what depends on arguments runs the program at each call, and finds itself sooner
    # here; of the rest the kernel remembers the answers
    listed: list[Rule] = []
    for name in ("clock_gettime", "clock_nanosleep"):
        listed.append(Rule(name, ALLOW, (_none_but(0, _OWN_CLOCKS),)))
        listed.append(Rule(name, refuse(errno.EINVAL)))
    operation = _ALL & ~_FUTEX_FLAGS
    listed += [Rule("futex", ALLOW, (Argument(1, o, operation),)) for o in _FUTEX_LOCKS]
    listed.append(Rule("futex", refuse(errno.ENOSYS)))
    listed += _memory_rules(jit=jit)
    mode = _none_but(2, _O_NONBLOCK | _O_ACCMODE)
    listed.append(Rule("fcntl", ALLOW, (Argument(1, _F_SETFL), mode)))
    listed.append(Rule("tgkill", ALLOW, (Argument(0, pid),)))
    if keys:
        listed += _libzmq_rules()
    listed += [
        Rule("madvise", refuse(errno.EINVAL)),
        Rule("fcntl", refuse(errno.EPERM)),
        Rule("setsockopt", refuse(errno.EPERM)),
    ]
    listed += [Rule(name, ALLOW) for name in _FREE.split()]
    listed += [Rule(name, refuse(errno.ENOENT)) for name in _NO_FILES.split()]
    listed += [Rule(name, refuse(errno.EACCES)) for name in _REFUSED.split()]
    for name, values in probes(jit=jit):
        tests = [Argument(index, value) for index, value in enumerate(values)]
        listed.append(Rule(name, refuse(errno.EPERM), tuple(tests)))
    return listed


def _memory_rules(*, jit: bool) -> list[Rule]:
    data = () if jit else (Argument(2, 0, _PROT_EXEC),)
    return [
        Rule("mmap", ALLOW, (*data, Argument(3, _MAP_OWN, _MAP_KIND))),
        Rule("mprotect", ALLOW, data),
        Rule("mremap", ALLOW, (_none_but(3, _MREMAP_MAYMOVE),)),
        Rule("madvise", ALLOW, (Argument(2, _MADV_DONTNEED),)),
    ]


def _libzmq_rules() -> list[Rule]:
    nodelay = (Argument(1, _IPPROTO_TCP), Argument(2, _TCP_NODELAY))
    return [
        Rule("sendto", ALLOW, (_none_but(3, _SEND_FLAGS),)),
        Rule("setsockopt", ALLOW, nodelay),
        Rule("fcntl", ALLOW, (Argument(1, _F_GETFL),)),
        Rule("prctl", ALLOW, (Argument(0, _PR_SET_NAME),)),
        *[Rule("madvise", ALLOW, (Argument(2, advice),)) for advice in _MADV_DUMP],
        *[Rule(name, ALLOW) for name in _FREE_WITH_KEYS.split()],
        *[Rule(name, refuse(0)) for name in _UNDONE_WITH_KEYS.split()],
    ]


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
            if test.mask != _ALL:
                look.append(_step(_AND, test.mask))
            rest = [*look, _step(_SAME, test.value, otherwise=len(rest)), *rest]
        block += rest
    if choices[-1].tests:
        block.append(_step(_RETURN, KILL))
    return block


def _step(code: int, constant: int, *, matched: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("=HBBI", code, matched, otherwise, constant)

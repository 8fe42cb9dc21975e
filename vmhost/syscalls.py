"""Numbers of the system calls that luafarm names, for x86-64 and aarch64.

Sources: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
A number never changes once it is given; a call that one processor lacks is None there.
"""

import errno
import os
import platform
from enum import IntEnum
from typing import Final


class Architecture(IntEnum):
    """A processor as seccomp names it (AUDIT_ARCH_*, include/uapi/linux/audit.h)."""

    X86_64 = 0xC000003E
    AARCH64 = 0xC00000B7


_MACHINES: Final = {
    "x86_64": Architecture.X86_64,
    "aarch64": Architecture.AARCH64,
}

# by name: on x86-64 and on aarch64
NUMBERS: Final[dict[str, tuple[int | None, int | None]]] = {
    "read": (0, 63),
    "write": (1, 64),
    "writev": (20, 66),
    "close": (3, 57),
    "poll": (7, None),
    "ppoll": (271, 73),
    "epoll_wait": (232, None),
    "epoll_pwait": (281, 22),
    "epoll_ctl": (233, 21),
    "recvfrom": (45, 207),
    "sendto": (44, 206),
    "accept4": (288, 242),
    "accept": (43, 202),
    "getsockopt": (55, 209),
    "setsockopt": (54, 208),
    "getsockname": (51, 204),
    "getpeername": (52, 205),
    "shutdown": (48, 210),
    "fcntl": (72, 25),
    "futex": (202, 98),
    "brk": (12, 214),
    "mmap": (9, 222),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "mprotect": (10, 226),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getrandom": (318, 278),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "sched_yield": (24, 124),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "setitimer": (38, 103),
    "getrusage": (98, 165),
    "mlock": (149, 228),
    "munlock": (150, 229),
    "clone": (56, 220),
    "clone3": (435, 435),
    "prctl": (157, 167),
    "sched_getscheduler": (145, 120),
    "sched_getparam": (143, 121),
    "sched_setscheduler": (144, 119),
    "tgkill": (234, 131),
    "socket": (41, 198),
    "execve": (59, 221),
    "execveat": (322, 281),
    "open": (2, None),
    "openat": (257, 56),
    "openat2": (437, 437),
    "stat": (4, None),
    "lstat": (6, None),
    "fstat": (5, 80),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "getcwd": (79, 17),
    "lseek": (8, 62),
    "ioctl": (16, 29),
    "getdents64": (217, 61),
    "rt_sigaction": (13, 134),
    "sched_getaffinity": (204, 123),
    "prlimit64": (302, 261),
    "uname": (63, 160),
    "seccomp": (317, 277),
    "landlock_create_ruleset": (444, 444),
    "landlock_restrict_self": (446, 446),
    "close_range": (436, 436),
    "pivot_root": (155, 41),
    "capset": (126, 91),
    "connect": (42, 203),
    "bind": (49, 200),
    "fork": (57, None),
    "vfork": (58, None),
    "kill": (62, 129),
    "ptrace": (101, 117),
    "memfd_create": (319, 279),
    "io_uring_setup": (425, 425),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "unshare": (272, 97),
    "process_vm_readv": (310, 270),
    "sendmsg": (46, 211),
    "recvmsg": (47, 212),
    "sysinfo": (99, 179),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "getppid": (110, 173),
}


def architecture() -> Architecture | None:
    """Return the processor this runs on; None when it is neither of the two."""
    return _MACHINES.get(platform.machine())


def number_on(name: str, processor: Architecture) -> int | None:
    """Return the number of a call on a processor; None when it has no such call."""
    return NUMBERS[name][0 if processor is Architecture.X86_64 else 1]


def number(name: str) -> int:
    """Return the number of a call here. Raise OSError ENOSYS when there is none."""
    processor = architecture()
    found = None if processor is None else number_on(name, processor)
    if found is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), name)
    return found

"""The Linux calls that Python 3.11 has no wrapper for, by ctypes; see also `prctl`.

Every function raises OSError with the kernel's errno. Numbers that differ between
processors come from `vmhost.sandbox.syscalls`; constants are those of the kernel's
headers.
"""

# Impure.

import ctypes
import errno
import mmap
import os
import platform
import struct
from functools import cache
from typing import Final

from luafarm.process import prctl
from luafarm.process.prctl import checked, libc
from vmhost.sandbox.syscalls import Architecture, number_on

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWNET: Final = 0x40000000

MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
MNT_DETACH: Final = 2

CAP_KILL: Final = 5
CAP_SETGID: Final = 6
CAP_SETUID: Final = 7
CAP_SETPCAP: Final = 8
CAP_SYS_CHROOT: Final = 18
CAP_SYS_ADMIN: Final = 21

_MACHINES: Final = {
    "x86_64": Architecture.X86_64,
    "aarch64": Architecture.AARCH64,
}
_MOST_CAPABILITIES: Final = 64  # bits of the masks in capset(2)
_CAP_VERSION_3: Final = 0x20080522
_SECCOMP_SET_MODE_FILTER: Final = 1
_SECCOMP_FILTER_FLAG_TSYNC: Final = 1


@cache
def architecture() -> Architecture | None:
    """Return the processor this runs on; None when its calls are not known here."""
    return _MACHINES.get(platform.machine())


def number(name: str) -> int:
    """Return the number of a call here. Raise OSError ENOSYS when there is none."""
    processor = architecture()
    found = None if processor is None else number_on(name, processor)
    if found is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), name)
    return found


def syscall(name: str, *arguments: int | ctypes.Array[ctypes.c_char] | None) -> int:
    """Make a system call by name. Raise OSError, ENOSYS where it has no number."""
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return checked(libc().syscall(ctypes.c_long(number(name)), *words))


def unshare(flags: int) -> None:
    """Leave the namespaces that `flags` (CLONE_NEW*) name for new ones."""
    checked(libc().unshare(ctypes.c_int(flags)))


def mount(source: str, target: str, kind: str, flags: int, options: str) -> None:
    """Attach a file system to the tree of directories."""
    texts = [os.fsencode(t) for t in (source, target, kind)]
    checked(
        libc().mount(*texts, ctypes.c_ulong(flags), ctypes.c_char_p(options.encode()))
    )


def enter_root(target: str) -> None:
    """Make a mount point the root; all other mounts go (pivot_root(2), NOTES)."""
    os.chdir(target)
    here = _buffer(b".\0")
    syscall("pivot_root", here, here)
    checked(libc().umount2(b".", ctypes.c_int(MNT_DETACH)))
    os.chdir("/")


def try_new_code() -> None:
    """Try to make writable memory executable. Raise OSError when it is refused."""
    page = mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    start = ctypes.c_char.from_buffer(page)
    try:
        address = ctypes.addressof(start)
        syscall("mprotect", address, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC)
    finally:
        del start  # it holds the page
        page.close()


def close_from(first: int, last: int) -> None:
    """Close all fds from first to last, both included (close_range(2))."""
    syscall("close_range", first, last, 0)


def drop_bounding_set(kept: frozenset[int] = frozenset()) -> None:
    """Make all capabilities but these unobtainable for this process and its programs.

    Raise OSError EPERM without CAP_SETPCAP.
    """
    for capability in range(_MOST_CAPABILITIES):
        if capability in kept:
            continue
        try:
            prctl.change(prctl.PR_CAPBSET_DROP, capability)
        except OSError as error:
            if capability and error.errno == errno.EINVAL:
                return  # past the last capability of this kernel
            raise


def permitted_capabilities() -> frozenset[int]:
    """Return the capabilities that this process may use."""
    answer = _buffer(bytes(24))
    syscall("capget", _buffer(struct.pack("=Ii", _CAP_VERSION_3, 0)), answer)
    _, low, _, _, high, _ = struct.unpack("=6I", answer.raw)
    mask = low | high << 32
    return frozenset(c for c in range(_MOST_CAPABILITIES) if mask >> c & 1)


def set_capabilities(effective: frozenset[int], permitted: frozenset[int]) -> None:
    """Hold exactly these capabilities; all permitted ones are inheritable as well."""
    header = struct.pack("=Ii", _CAP_VERSION_3, 0)
    masks = [sum(1 << c for c in held) for held in (effective, permitted, permitted)]
    low = [mask & 0xFFFFFFFF for mask in masks]
    high = [mask >> 32 for mask in masks]
    syscall("capset", _buffer(header), _buffer(struct.pack("=6I", *low, *high)))


def load_filter(program: bytes) -> None:
    """Put every thread of this process under a seccomp program (8 bytes a step)."""
    steps = _buffer(program)
    # struct sock_fprog { unsigned short len; struct sock_filter *filter; }
    head = struct.pack("=H6xQ", len(program) // 8, ctypes.addressof(steps))
    stranger = syscall(
        "seccomp", _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC, _buffer(head)
    )
    if stranger:  # seccomp(2): the id of a thread that could not be synchronised
        raise OSError(errno.ESRCH, f"thread {stranger} does not take the filter")


def create_ruleset(attributes: bytes) -> int:
    """Return the fd of a Landlock ruleset (landlock_create_ruleset(2))."""
    return syscall("landlock_create_ruleset", _buffer(attributes), len(attributes), 0)


def landlock_abi() -> int:
    """Return the kernel's Landlock version. Raise OSError when it has none."""
    version_wanted = 1  # LANDLOCK_CREATE_RULESET_VERSION
    return syscall("landlock_create_ruleset", None, 0, version_wanted)


def restrict_self(ruleset: int) -> None:
    """Put this thread and its future children under a Landlock ruleset."""
    syscall("landlock_restrict_self", ruleset, 0)


def _buffer(data: bytes) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(data, len(data))

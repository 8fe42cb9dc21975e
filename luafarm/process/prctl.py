"""prctl(2): properties of this process that Python has no call for.

Every function raises OSError with the kernel's errno; constants are those of
linux/prctl.h.
"""

# Impure.

import ctypes
import os
from functools import cache
from typing import Final

PR_SET_PDEATHSIG: Final = 1
PR_GET_PDEATHSIG: Final = 2
PR_SET_DUMPABLE: Final = 4
PR_SET_KEEPCAPS: Final = 8
PR_CAPBSET_DROP: Final = 24
PR_SET_CHILD_SUBREAPER: Final = 36
PR_SET_NO_NEW_PRIVS: Final = 38
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_RAISE: Final = 2
PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
PR_SET_MDWE: Final = 65
PR_MDWE_REFUSE_EXEC_GAIN: Final = 1


@cache
def libc() -> ctypes.CDLL:
    """Return the C library; a process that forks looks it up before."""
    return ctypes.CDLL(None, use_errno=True)


def checked(result: int) -> int:
    """Return what a function of the C library returned. Raise OSError if it failed."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def change(option: int, *arguments: int) -> int:
    """Change a property of this process; missing arguments are 0."""
    words = [ctypes.c_ulong(a) for a in (*arguments, 0, 0, 0, 0)[:4]]
    return checked(libc().prctl(ctypes.c_int(option), *words))


def parent_death_signal() -> int:
    """Return the signal that this process gets when its parent ends; 0: none."""
    found = ctypes.c_int(0)
    checked(libc().prctl(ctypes.c_int(PR_GET_PDEATHSIG), ctypes.byref(found)))
    return found.value


def tie(parent: int, number: int) -> bool:
    """Have this process get a signal when its parent ends; False: it has ended."""
    change(PR_SET_PDEATHSIG, number)
    return os.getppid() == parent

"""Says a number to all code of this process that may call getenv(3), as Lua may.

It is the value of an environment variable, changed in place: eight digits in one
aligned word, so that nobody reads half of it.
"""

# Impure.

import ctypes
import sys
from functools import cache
from typing import Final

VARIABLE: Final = b"LUAFARM_CURFEW"
_WORD: Final = 8  # bytes


class Crier:
    """The word that everybody hears. One a process: `crier` returns it."""

    def __init__(self) -> None:
        name = VARIABLE + b"="
        self._memory = ctypes.create_string_buffer(len(name) + 3 * _WORD)
        start = ctypes.addressof(self._memory)
        value = -(-(start + len(name)) // _WORD) * _WORD
        ctypes.memmove(value - len(name), name, len(name))
        self._word = ctypes.c_uint64.from_buffer(self._memory, value - start)
        self.call(0)
        # the C library keeps the pointer for as long as the process lives
        if ctypes.CDLL(None).putenv(ctypes.c_void_p(value - len(name))):
            raise MemoryError("putenv")

    def call(self, number: int) -> None:
        """Say this number from now on; it has eight digits at most."""
        self._word.value = int.from_bytes(b"%08d" % number, sys.byteorder)


@cache
def crier() -> Crier:
    """Return the crier of this process."""
    return Crier()

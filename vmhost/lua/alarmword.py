"""The word by which Lua code hears of an alarm: a number in this process's environment.

Lua has no clock that could end a request in time, but every state may call getenv(3).
So the value of one variable is changed in place: eight digits in one aligned word, so
that nobody reads half of it.
"""

# Impure.

import ctypes
import sys
from functools import cache
from typing import Final

VARIABLE: Final = b"LUAFARM_ALARM"
_WORD: Final = 8  # bytes


class AlarmWord:
    """The word that every state can read. One a process: `alarm_word` returns it."""

    def __init__(self) -> None:
        name = VARIABLE + b"="
        self._memory = ctypes.create_string_buffer(len(name) + 3 * _WORD)
        start = ctypes.addressof(self._memory)
        value = -(-(start + len(name)) // _WORD) * _WORD
        ctypes.memmove(value - len(name), name, len(name))
        self._word = ctypes.c_uint64.from_buffer(self._memory, value - start)
        self.say(0)
        # the C library keeps the pointer for as long as the process lives
        if ctypes.CDLL(None).putenv(ctypes.c_void_p(value - len(name))):
            raise MemoryError("putenv")

    def say(self, number: int) -> None:
        """Say this number from now on; it has eight digits at most."""
        self._word.value = int.from_bytes(b"%08d" % number, sys.byteorder)


@cache
def alarm_word() -> AlarmWord:
    """Return the word of this process."""
    return AlarmWord()

"""The operations by which a Lua state speaks to its host: flat tuples, number first.

A `Step` is what a state hands out: it has ended (DONE, ERROR) or waits for an answer
(`LuaState.resume`). Only bytes, int, float and bool cross in either direction.

    DONE     head, body, log
    ERROR    class, message, traceback, file, line, log, must close, budget
    FLUSH    head, chunk, log           answer: True
    READ     stream, most bytes         answer: bytes, empty at the end of the stream
    REQUIRE  module name                answer: found, source or why not, chunk name
    CHUNK    path                       answer: found, source or why not, chunk name
    FILE     path                       answer: found, bytes or why not
    SLEEP    seconds                    answer: True

`head`: CGI header lines joined by CRLF without the blank line; empty when it went with
an earlier FLUSH. `log`: lines as in `luafarm.wire.loglines`. `stream`: 0 STDIN, 1 DATA.
`budget`: empty, or the budget that was exceeded: "cpu", "memory", "reply".
"""

from enum import IntEnum
from typing import Any, Final

Flat = bytes | int | float | bool
"""What crosses between Python and Lua."""

Step = tuple[Any, ...]
"""An operation: its number, then what `SHAPES` says; every element is a `Flat`."""


class Op(IntEnum):
    """First element of a step."""

    DONE = 0
    ERROR = 1
    FLUSH = 2
    READ = 3
    REQUIRE = 4
    CHUNK = 5
    FILE = 6
    SLEEP = 7
    # Answered by LuaState itself:
    BUILTIN = 8  # name of one of our modules: its bytecode
    NOW = 9  # 0: seconds since 1970
    MD5 = 10  # bytes: 16 bytes
    MD5_HEX = 11  # bytes: 32 digits
    BASE64_ENCODE = 12  # bytes: base64
    BASE64_DECODE = 13  # valid base64: bytes


SHAPES: Final[dict[int, tuple[type, ...]]] = {
    Op.DONE: (int, bytes, bytes, bytes),
    Op.ERROR: (int, bytes, bytes, bytes, bytes, int, bytes, bool, bytes),
    Op.FLUSH: (int, bytes, bytes, bytes),
    Op.READ: (int, int, int),
    Op.REQUIRE: (int, bytes),
    Op.CHUNK: (int, bytes),
    Op.FILE: (int, bytes),
    Op.SLEEP: (int, float),
}
"""Types of each step's elements; a state that hands out anything else is broken."""

ANSWERS: Final[dict[Op, tuple[type, ...]]] = {
    Op.FLUSH: (bool,),
    Op.READ: (bytes,),
    Op.REQUIRE: (bool, bytes, bytes),
    Op.CHUNK: (bool, bytes, bytes),
    Op.FILE: (bool, bytes),
    Op.SLEEP: (bool,),
}
"""Types of the answer to each operation that a host answers."""

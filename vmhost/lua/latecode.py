"""Code that every state of this process can read without asking: in its environment.

Late files of the prelude (`late.lua`) are needed wherever a script is, also where Lua
cannot yield to its host, and are not worth their memory in every state. Every state may
call getenv(3). Nobody inherits it: a process of sandboxed states starts no others.
"""

import os
from collections.abc import Mapping
from typing import Final

from vmhost.lua.prelude import LATE

_kept: Final[set[str]] = set()  # dialects


def variable(dialect: str) -> bytes:
    """Return with what the names of a dialect's variables begin."""
    return f"LUAFARM_LATE_{dialect}_".encode()


def keep(dialect: str, codes: Mapping[bytes, bytes]) -> None:
    """Put the code of all late files where states of this dialect look for it, once."""
    if dialect in _kept:
        return
    _kept.add(dialect)
    for name in LATE:
        code = codes[name.encode()]
        # a variable ends at its first NUL
        escaped = code.replace(b"\1", b"\1\1").replace(b"\0", b"\1\2")
        where = variable(dialect) + name.encode()
        os.putenv(os.fsdecode(where), os.fsdecode(escaped))

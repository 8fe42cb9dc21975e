"""The dialects of Lua, and why some pools may not use some of them."""

from enum import StrEnum
from typing import Final


class Dialect(StrEnum):
    """A Lua implementation that comes with lupa."""

    LUAJIT21 = "luajit21"
    LUA51 = "lua51"
    LUA52 = "lua52"
    LUA53 = "lua53"
    LUA54 = "lua54"
    LUA55 = "lua55"


REFUSED: Final = {
    "luajit20": "it cannot limit the memory of a state",
}
"""Dialects of lupa's wheel that no pool may use, and why."""

UNSOUND: Final = {
    Dialect.LUA51: (
        "scripts can crash PUC Lua 5.1 and write to its memory (CVE-2014-5461, unpack, "
        "string patterns)"
    ),
}
"""Dialects that sandboxed pools may not use, and why."""

NO_JIT: Final = (
    "the compiler needs writable executable memory and its loops cannot be stopped"
)
"""Why sandboxed pools may not use LuaJIT's compiler."""

"""The dialects of Lua, and where each may be used."""

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
    "luajit20": "luajit20 cannot limit memory: one state could take all of a host's",
}
"""Dialects of lupa's wheel that no pool may use, and why."""

UNSOUND: Final = {
    Dialect.LUA51: (
        "lua51 has memory errors that scripts can reach (CVE-2014-5461, unpack with"
        " huge ranges, patterns that recurse without limit): trusted pools only"
    ),
}
"""Dialects that sandboxed pools may not use, and why."""


class DialectError(ValueError):
    """This dialect cannot be used here; the text is the reason."""


def choose(name: str, *, trusted: bool, jit: bool = False) -> Dialect:
    """Return the dialect of that name if such a pool may use it, else raise."""
    if name in REFUSED:
        raise DialectError(REFUSED[name])
    try:
        dialect = Dialect(name)
    except ValueError:
        known = ", ".join(Dialect)
        raise DialectError(f"no dialect is named {name!r}; there are {known}") from None
    if not trusted and dialect in UNSOUND:
        raise DialectError(UNSOUND[dialect])
    if jit and not trusted:
        raise DialectError("jit needs executable memory: trusted pools only")
    return dialect

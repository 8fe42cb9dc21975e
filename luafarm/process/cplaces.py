"""Where the system has modules of Lua: its directories, the file of each C module."""

# Impure.

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from luafarm.dialects import Dialect

_VERSIONS: Final = {
    Dialect.LUAJIT21: "5.1",
    Dialect.LUA51: "5.1",
    Dialect.LUA52: "5.2",
    Dialect.LUA53: "5.3",
    Dialect.LUA54: "5.4",
    Dialect.LUA55: "5.5",
}

_PACKAGES: Final = {
    "cjson": "lua-cjson",
    "lfs": "lua-filesystem",
    "lpeg": "lua-lpeg",
    "luasql.mysql": "lua-sql-mysql",
    "luasql.postgres": "lua-sql-postgres",
    "luasql.sqlite3": "lua-sql-sqlite3",
    "posix": "lua-posix",
    "socket.core": "lua-socket",
    "zlib": "lua-zlib",
}
"""Debian's packages of the modules that are asked for most; none is for Lua 5.5."""


class NoModuleError(Exception):
    """A C module is not there, or cannot be opened."""


def default_cpath(dialect: Dialect) -> str:
    """Return the templates of the system's own directories for this version of Lua."""
    version = _VERSIONS[dialect]
    places = ["/usr/local/lib/lua", *_multiarch(), "/usr/lib/lua", "/usr/lib64/lua"]
    return ";".join(f"{place}/{version}/?.so" for place in places)


def default_path(dialect: Dialect) -> str:
    """Return the templates of modules in Lua, as Debian's interpreters have them.

    Without those that begin where the farm was started, which is nobody's library.
    """
    version = _VERSIONS[dialect]
    places = ["/usr/local/share/lua", "/usr/local/lib/lua", "/usr/share/lua"]
    return ";".join(f"{p}/{version}/?.lua;{p}/{version}/?/init.lua" for p in places)


def find(name: str, dialect: Dialect, cpath: str = "") -> Path:
    """Return the file of a C module. Raise NoModuleError, which says how to get it.

    Its path is absolute: the loader looks elsewhere for a name without a slash.
    """
    tried = []
    cpath = cpath or default_cpath(dialect)
    for template in filter(None, cpath.split(";")):
        path = Path(template.replace("?", name.replace(".", "/"))).absolute()
        if path.is_file():
            return path
        tried.append(str(path))
    package = _PACKAGES.get(name)
    helps = package and dialect is not Dialect.LUA55 and "?" in cpath
    hint = f"; Debian has it in the package {package}" if helps else ""
    raise NoModuleError(f"no C module {name} for {dialect}: {', '.join(tried)}{hint}")


def _multiarch() -> Iterator[str]:
    """Yield where Debian has the libraries of this processor."""
    for triplet in sorted(Path("/usr/lib").glob(f"{os.uname().machine}-linux-gnu*")):
        yield f"{triplet}/lua"

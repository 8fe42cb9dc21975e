"""C modules of Lua: opened before files are shut off.

A C module is compiled for one version of Lua and takes Lua's functions from what the
process has made visible to all: so those of one dialect in a process. A library that is
open is found again by the very path under which it was opened, without a file: that is
how the states of a confined host, which sees no files, get at the modules.

`python -m vmhost.lua.cmodules DIALECT NAME FILE...` tries it, in a process that ends:
what is opened once stays, and what cannot be opened may end who tries.
"""

# Impure.

import ctypes
import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

from luafarm.dialects import Dialect
from luafarm.process.cplaces import NoModuleError, find

_LOAD: Final = """
function(path, name, module)
  package.path, package.cpath = "", ""
  local open, why = package.loadlib(path, name)
  if not open then return why end
  local loads, why = pcall(open, module)
  if not loads then return tostring(why) end
end
"""


def show_symbols(dialect: Dialect) -> None:
    """Make Lua's functions visible to C modules; of one dialect in a process."""
    module = importlib.import_module(f"lupa.{dialect}")
    assert module.__file__ is not None
    ctypes.CDLL(module.__file__, os.RTLD_NOW | os.RTLD_GLOBAL)


def open_all(names: tuple[str, ...], dialect: Dialect, cpath: str = "") -> str:
    """Find and open C modules for good; return what states are told of them.

    That are lines of name, tab, function, tab, path. Raise NoModuleError.
    """
    try:
        files = {name: find(name, dialect, cpath) for name in names}
    except OSError as error:
        raise NoModuleError(f"{error.filename}: {error.strerror}") from None
    functions = _open(files, dialect)
    return "".join([f"{n}\t{functions[n]}\t{path}\n" for n, path in files.items()])


def _open(files: Mapping[str, Path], dialect: Dialect) -> dict[str, str]:
    """Open the libraries of modules; return the function of each."""
    if files:
        show_symbols(dialect)
    chosen: dict[str, str] = {}
    for name, path in files.items():
        try:
            library = ctypes.CDLL(str(path), os.RTLD_NOW)
        except OSError as error:
            why = str(error).removeprefix(f"{path}: ")
            reason = f"{path} cannot be loaded: {why}"
            raise _fault(name, dialect, reason) from None
        functions = _functions(name, dialect)
        found = [function for function in functions if hasattr(library, function)]
        if not found:
            reason = f"{path} has no function {' or '.join(functions)}"
            raise _fault(name, dialect, reason)
        chosen[name] = found[0]
    return chosen


def _fault(name: str, dialect: Dialect, reason: str) -> NoModuleError:
    return NoModuleError(f"C module {name} for {dialect}: {reason}")


def _functions(name: str, dialect: Dialect) -> list[str]:
    """Return the functions that Lua looks for in the library of a module, in order.

    The reference manual of each version, `package.searchers`: a hyphen parts the name
    from a version, which stands before it in Lua 5.1. Later ones try both.
    """
    first, hyphen, rest = name.replace(".", "_").partition("-")
    if not hyphen:
        return [f"luaopen_{first}"]
    if dialect in {Dialect.LUAJIT21, Dialect.LUA51}:
        return [f"luaopen_{rest}"]
    return [f"luaopen_{first}", f"luaopen_{rest}"]


def _try(files: Mapping[str, Path], dialect: Dialect) -> None:
    """Open C modules and have a Lua state load each. Raise NoModuleError.

    A library for another version of Lua may lack nothing and yet not know its states.
    As in a confined host there are no files that a module could require: they might be
    a stranger's, in the directory where a command was typed.
    """
    functions = _open(files, dialect)
    lua: Any = importlib.import_module(f"lupa.{dialect}").LuaRuntime()
    load = lua.eval(_LOAD)
    for name, path in files.items():
        why = load(os.fsencode(path), functions[name], name)
        if why is not None:
            reason = f"{path} cannot be loaded: {' '.join(why.split())}"
            raise _fault(name, dialect, reason)


def main() -> NoReturn:
    """Load C modules as states would; end with 1 and one line if they cannot."""
    dialect, *pairs = sys.argv[1:]
    files = dict(zip(pairs[::2], map(Path, pairs[1::2]), strict=True))
    try:
        _try(files, Dialect(dialect))
    except NoModuleError as wrong:
        raise SystemExit(str(wrong)) from None
    os._exit(0)  # as VM hosts end: without what a library does at an exit


if __name__ == "__main__":
    main()

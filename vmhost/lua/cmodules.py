"""C modules of Lua: opened before files are shut off.

A C module is compiled for one version of Lua and takes Lua's functions from what the
process has made visible to all: so those of one dialect in a process. A library that is
open is found again by the very path under which it was opened, without a file: that is
how the states of a confined host, which sees no files, get at the modules.
"""

# Impure.

import ctypes
import importlib
import os

from luafarm.dialects import Dialect
from luafarm.process.cplaces import NoModuleError, find


def show_symbols(dialect: Dialect) -> None:
    """Make Lua's functions visible to C modules; of one dialect in a process."""
    module = importlib.import_module(f"lupa.{dialect}")
    assert module.__file__ is not None
    ctypes.CDLL(module.__file__, os.RTLD_NOW | os.RTLD_GLOBAL)


def open_all(names: tuple[str, ...], dialect: Dialect, cpath: str = "") -> str:
    """Open C modules for good; return what states are told: lines of name, tab, path.

    Raise NoModuleError.
    """
    if not names:
        return ""
    show_symbols(dialect)
    lines = []
    for name in names:
        path = find(name, dialect, cpath)
        try:
            ctypes.CDLL(str(path), os.RTLD_NOW)
        except OSError as error:
            raise NoModuleError(f"{name}: {error}") from None
        lines.append(f"{name}\t{path}\n")
    return "".join(lines)

"""The plain interpreters of Lua that tests compare with, as Debian has them."""

import shutil
import subprocess
from typing import Final

import pytest

from luafarm.dialects import Dialect

INTERPRETERS: Final = {
    Dialect.LUAJIT21: "luajit",
    Dialect.LUA51: "lua5.1",
    Dialect.LUA52: "lua5.2",
    Dialect.LUA53: "lua5.3",
    Dialect.LUA54: "lua5.4",
}


def missing(dialect: Dialect) -> str:
    """Return what is not installed; empty: all that is needed."""
    interpreter = INTERPRETERS.get(dialect)
    if interpreter is None or shutil.which(interpreter):
        return ""
    return f"{interpreter} is not installed"


def said(dialect: Dialect, code: str) -> str:
    """Return what code writes to its standard error; skip without the interpreter.

    The chunk is called stdin.
    """
    absent = missing(dialect)
    if absent:
        pytest.skip(absent)
    done = subprocess.run(
        [INTERPRETERS[dialect], "-"],
        input=code.encode(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    return done.stderr.decode("utf-8", "replace")

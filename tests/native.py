"""C modules of Lua made by the tests, with or without a fault."""

import shutil
import subprocess
from pathlib import Path

import pytest

ANSWER = """
extern void lua_pushinteger(void *L, long long n);
int luaopen_{name}(void *L) {{ lua_pushinteger(L, 42); return 1; }}
"""
"""A module that is the number 42, in every version of Lua."""


def build(path: Path, source: str, *options: str) -> Path:
    """Compile a library that nobody but its owner may write; skip without a compiler.

    It is new under its name at once, as from a package.
    """
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    code = path.with_suffix(".c")
    code.write_text(source)
    fresh = path.with_suffix(".new")
    command = ["cc", "-shared", "-fPIC", "-o", str(fresh), str(code), *options]
    subprocess.run(command, check=True)
    fresh.chmod(0o755)
    fresh.rename(path)
    return path

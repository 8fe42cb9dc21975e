"""Build luafarm: the pure hot modules become native code where a C compiler exists.

LUAFARM_COMPILE=0 builds plain Python; =1 fails where it cannot compile; else a missing
compiler is no error. An editable installation is never compiled: a native module would
shadow the source that is being edited.
"""

import os
import re
import shutil
import sys
import sysconfig
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.extension import Extension

# On the way of every request or deciding about the whole farm, and strictly typed: what
# says so below its docstring.
HOT = sorted(
    str(path)
    for package in ("luafarm", "fcgi", "broker", "vmhost")
    for path in Path(package).rglob("*.py")
    if re.search(r'"""\n\n# (Compiled|Impure, compiled)\.\n', path.read_text())
)

MYPYC = ["mypy[mypyc]==2.4.1", "msgspec>=0.20"]  # whose classes messages are
WANTED = os.environ.get("LUAFARM_COMPILE", "")
EDITABLE = {"editable_wheel", "develop", "egg_info", "dist_info", "sdist"}


class OptionalBuild(build_ext):
    """Installs plain Python when the compiler fails, unless LUAFARM_COMPILE=1."""

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:
            if WANTED == "1":
                raise
            sys.stderr.write(f"luafarm: not compiled: {error}\n")
            self.extensions = []


def compiler_is_missing() -> str:
    """Return what the compilation lacks; empty when it can be tried."""
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return "Python.h (Debian: python3-dev)"
    command = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    if shutil.which(command.split()[0]) is None:
        return "a C compiler (Debian: gcc)"
    return ""


def extensions() -> list[Extension]:
    """Return the native modules to build."""
    if WANTED == "0" or EDITABLE.intersection(sys.argv):
        return []
    missing = compiler_is_missing()
    try:
        if missing:
            raise RuntimeError(f"{missing} is missing")
        from mypyc.build import mypycify

        # not the project's strict rules: without its dependencies they find fault
        lenient = ["--config-file=", "--ignore-missing-imports", "--no-incremental"]
        hot = [*lenient, *HOT]
        return mypycify(hot, opt_level="3", group_name="luafarm")
    except (Exception, SystemExit) as error:
        if WANTED == "1":
            raise
        sys.stderr.write(f"luafarm: not compiled: {error}\n")
        return []


setup(
    ext_modules=extensions(),
    cmdclass={"build_ext": OptionalBuild},
    # what builds it asks for this first; plain Python needs no compiler of types
    setup_requires=[] if WANTED == "0" else MYPYC,
)

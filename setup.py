"""Build luafarm: the pure hot modules become native code where a C compiler exists.

LUAFARM_COMPILE=0 builds plain Python; =1 fails where it cannot compile; else a missing
compiler is no error. An editable installation is never compiled: a native module would
shadow the source that is being edited.
"""

import os
import shutil
import sys
import sysconfig
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.extension import Extension

# On the way of every request or deciding about the whole farm, and strictly typed.
HOT = [
    "luafarm/aliases.py",
    "luafarm/loglines.py",
    "luafarm/outgoing.py",
    "luafarm/scriptnames.py",
    "luafarm/stream.py",
    "luafarm/wire.py",
    "luafarm/zmtp.py",
    "broker/allowance.py",
    "broker/bulletin.py",
    "broker/census.py",
    "broker/cloning.py",
    "broker/convergence.py",
    "broker/costs.py",
    "broker/evictions.py",
    "broker/farm.py",
    "broker/files.py",
    "broker/footprint.py",
    "broker/heat.py",
    "broker/machine.py",
    "broker/missing.py",
    "broker/placement.py",
    "broker/policies.py",
    "broker/quarantine.py",
    "broker/recycling.py",
    "broker/renewal.py",
    "broker/resolve.py",
    "broker/restraint.py",
    "broker/roster.py",
    "broker/tables.py",
    "broker/turn.py",
    "broker/victims.py",
    "broker/waits.py",
    "fcgi/alarms.py",
    "fcgi/backlog.py",
    "fcgi/catalogue.py",
    "fcgi/channel.py",
    "fcgi/conduct.py",
    "fcgi/connection.py",
    "fcgi/dispatch.py",
    "fcgi/params.py",
    "fcgi/peer.py",
    "fcgi/placement.py",
    "fcgi/records.py",
    "fcgi/refusal.py",
    "fcgi/reply.py",
    "fcgi/request.py",
    "fcgi/room.py",
    "fcgi/scriptname.py",
    "fcgi/service.py",
    "fcgi/streamlink.py",
    "fcgi/turn.py",
    "fcgi/usage.py",
    "vmhost/conversation.py",
    "vmhost/curfew.py",
    "vmhost/dialogue.py",
    "vmhost/held.py",
    "vmhost/hostlua.py",
    "vmhost/hostmachine.py",
    "vmhost/hostmail.py",
    "vmhost/hostpeers.py",
    "vmhost/hosttimer.py",
    "vmhost/luastate.py",
    "vmhost/scoreboard.py",
    "vmhost/streamlink.py",
]

MYPYC = "mypy[mypyc]==2.4.1"
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
    setup_requires=[] if WANTED == "0" else [MYPYC],
)

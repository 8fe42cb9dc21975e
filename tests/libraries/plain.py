"""Jobs in plain interpreters: Debian's, and for Lua 5.5 the one that luafarm carries.

No C module is found by them: what is compared is what Lua text can do.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from luafarm.dialects import Dialect
from tests.interpreters import INTERPRETERS
from tests.libraries.outcome import Outcome, read
from tests.libraries.site import Job, Site

SHOWN: Final = {**INTERPRETERS, Dialect.LUA55: "Lua 5.5 as luafarm carries it"}

JOB_S: Final = 60.0
END: Final = "run(function(text) io.stdout:write(text) io.stdout:flush() end)"

_CARRIED: Final = """
import importlib, sys
lupa = importlib.import_module("lupa." + sys.argv[1])
state = lupa.LuaRuntime(encoding=None, register_eval=False, register_builtins=False)
state.execute(b"python = nil package.loaded.python = nil")
state.execute(open(sys.argv[2], "rb").read(), name=b"@" + sys.argv[2].encode())
"""


def run(site: Site, job: Job, dialect: Dialect) -> Outcome:
    """Do a job in an interpreter of its own."""
    paths = [Path(), *([] if not job.work else [site.root]), *site.paths]
    templates = [f"{path}/{end}" for path in paths for end in ("?.lua", "?/init.lua")]
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "LUA_PATH": ";".join(templates),
        "LUA_CPATH": "",
        "TZ": "UTC",
    }
    with tempfile.TemporaryDirectory(prefix="luafarm-job-") as place:
        program = Path(place) / "suite.lua"
        program.write_text(job.text(END))
        command = [INTERPRETERS.get(dialect, ""), str(program)]
        if not command[0]:
            command = [sys.executable, "-c", _CARRIED, str(dialect), str(program)]
        try:
            done = subprocess.run(
                command,
                cwd=site.root / job.work,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=JOB_S,
            )
        except subprocess.TimeoutExpired as late:
            return read(late.stdout or b"", f"not within {JOB_S:.0f} s")
    return read(done.stdout, done.stderr.decode("utf-8", "replace").strip()[-400:])

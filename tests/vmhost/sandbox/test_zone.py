"""Local time in a host that has no files any more."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.vmhost.supervisor.supervised import needs_root

# TZif, RFC 8536: one zone for all times, five hours west, called EST
WEST: bytes = (
    b"TZif\0"
    + bytes(15)
    + struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    + struct.pack(">lbb", -18000, 0, 0)
    + b"EST\0"
)
LOOK = """
import os, sys, time
import vmhost.sandbox.confine as confine
from luafarm.dialects import Dialect
from tests.vmhost.states import SANDBOXED, Script
SOURCE = '''
  function main(env, con)
    if env.MAKE then
      con:puts(os.time { year = 2023, month = 11, day = 14, hour = 17, min = 13,
        sec = 20 })
    else con:puts(os.date("%H:%M %z", 1700000000)) end
  end
'''
from tests.vmhost.states import params
scripts = [Script(SOURCE, dialect) for dialect in SANDBOXED]
os.chroot(sys.argv[1])
os.chdir("/")
confine.keep_zone()
os.unlink("/etc/localtime")
for script in scripts:
    for blob in (b"", params(MAKE="1"), b""):
        print(script.run(blob).text)
"""


@needs_root
@pytest.mark.parametrize("zone", [None, "EST5"])
def test_local_time_stays_right_whatever_a_script_asks_for(
    tmp_path: Path, zone: str | None
) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/localtime").write_bytes(WEST)
    surroundings = {name: os.environ[name] for name in os.environ if name != "TZ"}
    if zone is not None:
        surroundings["TZ"] = zone
    told = subprocess.run(
        [sys.executable, "-c", LOOK, str(tmp_path)],
        env=surroundings | {"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    lines = told.stdout.split("\n")[:-1]
    assert told.returncode == 0, told.stderr
    for start in range(0, len(lines), 3):
        assert lines[start : start + 3] == ["17:13 -0500", "1700000000", "17:13 -0500"]
    assert len(lines) == 15

"""The farm under attack: a pool for each dialect, with one VM host and its own scripts.

One host a pool, so that attack, canary and neighbour share a process.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench import daemon
from tests.farm.farms import LUAFARM, Farm, directory, hosts_of
from tests.hostile import catalogue
from vmhost.dialect import Dialect

WALL_S: Final = 5.0
LOAD_S: Final = 5.0
SECRET: Final = "the secret of another tenant"

_CONFIGURATION: Final = """\
[paths]
run = "{place}/run"

[front]
queue_timeout = "15 s"

[broker]
quarantine_deaths = 0

[[script]]
pattern = "canary.lua"
state = "fresh"

[[script]]
pattern = "*_waits.lua"
wall = "500 ms"
"""

_THOROUGH: Final = ("crash", "environment", "loading", "memory")
"""Classes whose scripts try much: they get more CPU time. It is a tenth of wall-clock
time all the same, as it comes slowly on a busy machine and the soft stop is to be seen.
"""

_MORE_CPU: Final = """
[[script]]
pattern = "{kind}/*"
cpu = "400 ms"
wall = "8 s"
"""

_POOL: Final = """
[pool.{pool}]
root = ["{place}/roots/{pool}"]
library = ["{library}"]
dialect = "{dialect}"
hosts = {hosts}
memory = "8 MiB"
cpu = "100 ms"
wall = "5 s"
load_cpu = "200 ms"
load_wall = "5 s"
reply = "4 MiB"
log_lines = 50
log_bytes = "8 KiB"
"""


def budget_s(attack: catalogue.Attack) -> float:
    """Return how long a request of it may take: its load and its run."""
    if attack.name.endswith("_waits"):
        return LOAD_S + 0.5
    return LOAD_S + (8.0 if attack.kind in _THOROUGH else WALL_S)


@contextlib.contextmanager
def settled(
    pools: dict[str, Dialect], *, more: str = "", hosts: int = 1
) -> Iterator[Farm]:
    """Run a farm with these pools; `root` of the Farm holds a directory for each.

    more: text of the configuration file, before the tables of the pools.
    """
    with directory() as place:
        library = place / "library"
        shutil.copytree(catalogue.LIBRARY, library)
        (place / "secret.txt").write_text(SECRET)
        (place / "secret.lua").write_text(f"return {SECRET!r}")
        config = place / "luafarm.toml"
        text = _CONFIGURATION.format(place=place) + more
        text += "".join(_MORE_CPU.format(kind=kind) for kind in _THOROUGH)
        for pool, dialect in pools.items():
            _furnish(place, place / "roots" / pool)
            text += _POOL.format(
                place=place, pool=pool, library=library, dialect=dialect, hosts=hosts
            )
        config.write_text(text)
        farm = Farm(place, place / "roots", config, str(place / "front.sock"))
        command = [*LUAFARM, "up", "--config", str(config)]
        command += ["--listen", f"unix:{farm.socket}"]
        with daemon.running(command, place / "up.log") as process:
            farm.daemons["up"] = process
            process.wait_until(
                lambda: (
                    daemon.accepts(farm.socket)
                    and len(hosts_of(farm)) >= hosts * len(pools)
                ),
                "the farm is ready",
            )
            yield farm


def _furnish(place: Path, root: Path) -> None:
    """Fill a root with the scripts, and with what some of them look for."""
    shutil.copytree(catalogue.SCRIPTS, root)
    for canary in catalogue.CANARIES.iterdir():
        shutil.copy(canary, root)
    (root / "bytecode.lua").write_bytes(b"\x1bLua\x54\0\x19\x93\r\n\x1a\n")
    (root / "bytecode_bom.lua").write_bytes(b"\xef\xbb\xbf\x1bLJ\x02\n\x02\0")
    (root / "bytecode_hash.lua").write_bytes(b"#!\n\x1bLJ\x02\n\x02\0")
    (root / "link.txt").symlink_to(place / "secret.txt")
    (root / "link.lua").symlink_to(place / "secret.lua")
    (root / "way_out").symlink_to(place)
    (root / "loop.txt").symlink_to("loop.txt")
    (root / "device.txt").symlink_to("/dev/zero")
    os.mkfifo(root / "fifo.txt")

"""The farm under attack: a pool for each dialect, with one VM host and its own scripts.

One host a pool, so that attack, canary and neighbour share a process. One budget is
short, by the ground; of everything else there is so much that nothing else ends an
attack, however slowly a busy machine gives it time.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from bench import daemon
from luafarm.dialects import Dialect
from tests.farm.farms import LUAFARM, Farm, directory, hosts_of
from tests.hostile import catalogue
from tests.hostile.catalogue import Ground

SECRET: Final = "ESCAPED: the secret of another tenant"
CPU_S: Final = 0.3  # of a load and a request
WALL_S: Final = 0.5
GRACE_S: Final = 0.5
PLENTY_S: Final = 60.0

TIME_S: Final = {
    Ground.CPU: CPU_S + GRACE_S,
    Ground.WALL: WALL_S,
    Ground.ROOM: PLENTY_S,
}
"""How long an attack can last when a processor has nothing else to do."""

_CONFIGURATION: Final = """\
[paths]
run = "{place}/run"

[front]
queue_timeout = {plenty}

[vmhost]
grace = {grace}

[broker]
quarantine_deaths = 0
"""

_WITNESS: Final = """
[[script]]
pattern = "{name}"
state = "{state}"
cpu = {plenty}
wall = {plenty}
load_cpu = {plenty}
"""

_WITNESSES: Final = {
    "bystander.lua": "persistent",
    "canary.lua": "fresh",
    "neighbour.lua": "persistent",
}
"""The scripts that are no attacks, for which nothing is short but room."""

_FRESH: Final = """
[[script]]
pattern = "*/fresh_*.lua"
state = "fresh"
"""
"""Attacks on what comes after a request, when its state is closed."""

_POOL: Final = """
[pool.{pool}]
root = ["{place}/roots/{pool}"]
library = ["{library}"]
dialect = "{dialect}"
hosts = {hosts}
memory = "{memory}"
cpu = {cpu}
wall = {wall}
load_cpu = {load_cpu}
load_wall = {plenty}
reply = "{reply}"
log_lines = 50
log_bytes = "8 KiB"
"""

_PLENTIFUL: Final[Mapping[str, object]] = {
    "plenty": PLENTY_S,
    "grace": PLENTY_S,
    "cpu": PLENTY_S,
    "load_cpu": PLENTY_S,
    "wall": PLENTY_S,
    "memory": "256 MiB",
    "reply": "256 MiB",
}

_SHORT: Final[Mapping[Ground, Mapping[str, object]]] = {
    # the grace counts CPU time as well: it is short for those who have to be killed
    Ground.CPU: {"cpu": CPU_S / 3, "load_cpu": CPU_S * 2 / 3, "grace": GRACE_S},
    Ground.WALL: {"wall": WALL_S},
    Ground.ROOM: {"memory": "8 MiB", "reply": "4 MiB"},
}


@contextlib.contextmanager
def settled(
    ground: Ground, pools: Mapping[str, Dialect], *, hosts: int = 1
) -> Iterator[Farm]:
    """Run a farm with these pools; `root` of the Farm holds a directory for each."""
    limits = {**_PLENTIFUL, **_SHORT[ground]}
    with directory() as place:
        library = place / "library"
        shutil.copytree(catalogue.LIBRARY, library)
        (place / "secret.txt").write_text(SECRET)
        (place / "secret.lua").write_text(f"return {SECRET!r}")
        config = place / "luafarm.toml"
        text = _CONFIGURATION.format(place=place, **limits)
        for name, state in _WITNESSES.items():
            text += _WITNESS.format(name=name, state=state, plenty=PLENTY_S)
        text += _FRESH
        for pool, dialect in pools.items():
            _furnish(place, place / "roots" / pool)
            text += _POOL.format(
                place=place,
                pool=pool,
                library=library,
                dialect=dialect,
                hosts=hosts,
                **limits,
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

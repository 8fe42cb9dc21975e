"""The farm under test: ``luafarm up`` on a UNIX socket and a TCP port."""

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import daemon
from bench.daemon import Daemon
from luafarm.command import asking
from luafarm.config import configure
from tests.servers import content

ANSWER_S = 60.0
SCRIPTS = Path(__file__).with_name("scripts")

CONFIGURATION = """\
[paths]
run = "{directory}/run"

[front]
queue_per_script = 8
queue_timeout = "2 s"

[broker]
quarantine_deaths = 0

[pool.test]
root = ["{root}"]
hosts = {hosts}
preload = ["*.lua"]

[[script]]
pattern = "spin.lua"
wall = "500 ms"

[[script]]
pattern = "cut.lua"
wall = "700 ms"

[[script]]
pattern = "slow.lua"
clones = 1

[[script]]
pattern = "wait.lua"
clones = 1
wall = "600 s"
"""


@dataclass(frozen=True, slots=True)
class Farm:
    """A farm that serves; its root has the scripts and `content`, open to anybody."""

    daemon: Daemon
    directory: Path
    root: Path
    socket: Path
    port: int

    def is_running(self, script: str) -> bool:
        """Return whether a VM host runs this script now."""
        settings = configure.load(self.directory / "luafarm.toml").settings
        status = json.loads(asking.status(settings, ANSWER_S))
        return str(self.root / script) in {host["running"] for host in status["hosts"]}


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    """Make a directory that web servers may enter after they dropped root."""
    made = Path(tempfile.mkdtemp(prefix="luafarm-test-"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def serving(place: Path, hosts: int = 4) -> Iterator[Farm]:
    """Run a farm in ``place``, where an earlier one may have run before."""
    root = place / "root"
    if not root.exists():
        shutil.copytree(SCRIPTS, root)
        content.lay(root)
    configuration = place / "luafarm.toml"
    configuration.write_text(
        CONFIGURATION.format(directory=place, root=root, hosts=hosts)
    )
    socket, port = place / "front.sock", daemon.free_port()
    command = [
        *(sys.executable, "-m", "luafarm", "up", str(root)),
        *("--listen", f"unix:{socket}", "--listen", f"127.0.0.1:{port}"),
        *("--config", str(configuration)),
    ]
    with daemon.running(command, place / "luafarm.log") as process:
        process.wait_until(
            lambda: daemon.accepts(str(socket)) and daemon.accepts(("127.0.0.1", port)),
            "the farm accepts connections",
        )
        yield Farm(process, place, root, socket, port)

"""luafarm itself: ``luafarm up`` on a UNIX socket, nginx keeps its connections."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import daemon, script
from bench.peers import fastcgi
from bench.peers.peer import Room, Served

CONFIGURATION = """\
[paths]
run = "{directory}/run"

[pool.bench]
root = ["{root}"]
trust = "{trust}"
{extra}
"""


@dataclass(frozen=True, slots=True)
class Luafarm:
    """A farm with one pool; ``command`` starts the program that is measured."""

    command: tuple[str, ...]
    name: str = "luafarm"
    trust: str = "sandboxed"
    extra: str = ""
    suffix: str = "lua"

    @property
    def about(self) -> str:
        return f"one {self.trust} pool, default settings, kept connections"

    def missing(self) -> str | None:
        return None if shutil.which(self.command[0]) else f"no {self.command[0]}"

    @contextlib.contextmanager
    def serve(self, room: Room) -> Iterator[Served]:
        root = room.directory / "root"
        shutil.copytree(script.SCRIPTS / "luafarm", root)
        socket = room.directory / "front.sock"
        configuration = room.directory / "luafarm.toml"
        configuration.write_text(
            CONFIGURATION.format(
                directory=room.directory, root=root, trust=self.trust, extra=self.extra
            )
        )
        with daemon.running(
            [
                *self.command,
                "up",
                str(root),
                "--listen",
                f"unix:{socket}",
                "--config",
                str(configuration),
            ],
            room.directory / "luafarm.out",
        ) as farm:
            farm.wait_until(lambda: daemon.accepts(str(socket)), "luafarm accepts")
            with fastcgi.behind_nginx(room, root, socket, farm, keep=True) as served:
                yield served


def beside(interpreter: Path) -> Path:
    """Name the ``luafarm`` command of this interpreter's environment."""
    return interpreter.with_name("luafarm")

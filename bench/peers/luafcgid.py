"""luafcgid, the threaded C daemon, where somebody has built it."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import daemon, script
from bench.peers import fastcgi
from bench.peers.peer import Room, Served

CONFIGURATION = """\
package.path = "{shim}/?.lua;" .. package.path
listen = "{socket}"
workers = {workers}
states = 64
clones = {workers}
sweep = 10000
retries = 2
maxpost = 1024 * 1024
logfile = "{directory}/luafcgid.log"
backlog = 4096
"""


@dataclass(frozen=True, slots=True)
class Luafcgid:
    """luafcgid behind nginx; ``program`` is the path of its binary."""

    program: Path | None
    name: str = "luafcgid"
    about: str = "threads, a connection per request"
    suffix: str = "lua"

    def missing(self) -> str | None:
        if self.program is None:
            return "no binary given (--luafcgid PATH)"
        return None if self.program.is_file() else f"{self.program} does not exist"

    @contextlib.contextmanager
    def serve(self, room: Room) -> Iterator[Served]:
        root = room.directory / "root"
        shutil.copytree(script.SCRIPTS / "luafarm", root)
        socket = room.directory / "luafcgid.sock"
        shim = script.SCRIPTS / "shim"
        configuration = room.directory / "config.lua"
        configuration.write_text(
            CONFIGURATION.format(
                directory=room.directory,
                socket=socket,
                workers=room.workers,
                shim=shim,
            )
        )
        with daemon.running(
            [str(self.program), str(configuration)],
            room.directory / "luafcgid.out",
            {"LUA_PATH": f"{shim}/?.lua;;"},
        ) as application:
            application.wait_until(
                lambda: daemon.accepts(str(socket)), "luafcgid accepts"
            )
            with fastcgi.behind_nginx(
                room, root, socket, application, keep=False
            ) as served:
                yield served

"""luafcgid, the threaded C daemon, where somebody has built it."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import daemon, lua51, script
from bench.packages import PackagesError
from bench.peers import fastcgi
from bench.peers.peer import Room, Served

CONFIGURATION = """\
listen = "{socket}"
workers = {workers}
states = 64
clones = {workers}
sweep = {sweep_ms}
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
    sweep_ms: int = 10000  # how often it looks for changed files

    def missing(self) -> str | None:
        if self.program is None:
            return "no binary given (--luafcgid PATH)"
        if not self.program.is_file():
            return f"{self.program} does not exist"
        try:
            lua51.LIBRARIES.fetch()
        except PackagesError as error:
            return str(error)
        return None

    @contextlib.contextmanager
    def serve(self, room: Room) -> Iterator[Served]:
        root = room.directory / "root"
        shutil.copytree(script.SCRIPTS / "luafarm", root)
        socket = room.directory / "luafcgid.sock"
        configuration = room.directory / "config.lua"
        configuration.write_text(
            CONFIGURATION.format(
                directory=room.directory,
                socket=socket,
                workers=room.workers,
                sweep_ms=self.sweep_ms,
            )
        )
        with daemon.running(
            [str(self.program), str(configuration)],
            room.directory / "luafcgid.out",
            lua51.environment(),
        ) as application:
            application.wait_until(
                lambda: daemon.accepts(str(socket)), "luafcgid accepts"
            )
            with fastcgi.behind_nginx(
                room, root, socket, application, keep=False
            ) as served:
                yield served

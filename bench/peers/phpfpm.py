"""php-fpm: a static pool of workers, with the opcode cache that Debian switches on."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import daemon, script
from bench.peers import fastcgi
from bench.peers.peer import Room, Served

CONFIGURATION = """\
[global]
error_log = {directory}/php-fpm.log
daemonize = no
{control}
[bench]
listen = {socket}
listen.backlog = 4096
listen.mode = 0666
{user}
pm = static
pm.max_children = {workers}
{extra}
"""


def _program() -> str | None:
    for directory in ("/usr/sbin", "/usr/local/sbin"):
        for found in sorted(Path(directory).glob("php-fpm*"), reverse=True):
            return str(found)
    return shutil.which("php-fpm")


@dataclass(frozen=True, slots=True)
class PhpFpm:
    """php-fpm behind nginx; ``control`` and ``extra`` are further settings.

    Those of ``control`` are its master's, those of ``extra`` the pool's.
    """

    name: str = "php-fpm"
    about: str = "static pool of 4, opcache, a connection per request"
    suffix: str = "php"
    control: str = ""
    extra: str = ""

    def missing(self) -> str | None:
        return None if _program() else "php-fpm is not installed"

    @contextlib.contextmanager
    def serve(self, room: Room) -> Iterator[Served]:
        root = room.directory / "root"
        shutil.copytree(script.SCRIPTS / "php", root)
        socket = room.directory / "php.sock"
        configuration = room.directory / "php-fpm.conf"
        configuration.write_text(
            CONFIGURATION.format(
                directory=room.directory,
                socket=socket,
                workers=room.workers,
                control=self.control,
                extra=self.extra,
                user="user = www-data" if daemon.IS_ROOT else "",
            )
        )
        command = [str(_program()), "-F", "-y", str(configuration)]
        with daemon.running(command, room.directory / "php-fpm.out") as fpm:
            fpm.wait_until(lambda: daemon.accepts(str(socket)), "php-fpm accepts")
            with fastcgi.behind_nginx(room, root, socket, fpm, keep=False) as served:
                yield served

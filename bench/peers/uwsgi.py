"""uWSGI with its Lua plugin (WSAPI, Lua 5.1) behind nginx."""

import contextlib
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from bench import daemon, lua51, nginx, script
from bench.packages import Packages, PackagesError
from bench.peers.peer import Room, Served

# Unpacked, because the plugin for Lua cannot be installed beside those of other
# languages everywhere.
PACKAGES = Packages(
    "uwsgi", ("uwsgi-core", "uwsgi-plugin-lua5.1", "libyajl2", "libpcre3")
)

LOCATION = """\
            include /etc/nginx/uwsgi_params;
            uwsgi_param SCRIPT_NAME $uri;
            uwsgi_modifier1 6;
            uwsgi_pass unix:{socket};
"""


@dataclass(frozen=True, slots=True)
class Uwsgi:
    """uWSGI's workers with one Lua state each; ``extra`` are further options."""

    name: str = "uwsgi-lua"
    about: str = "4 processes with a Lua 5.1 state each, a connection per request"
    suffix: str = "lua"
    extra: tuple[str, ...] = ("--die-on-term",)

    def missing(self) -> str | None:
        try:
            PACKAGES.fetch()
            lua51.LIBRARIES.fetch()
        except PackagesError as error:
            return str(error)
        return None

    @contextlib.contextmanager
    def serve(self, room: Room) -> Iterator[Served]:
        root = room.directory / "root"
        shutil.copytree(script.SCRIPTS / "uwsgi", root)
        triplet = f"{platform.machine()}-linux-gnu"
        libraries = [PACKAGES.root / lib / triplet for lib in ("usr/lib", "lib")]
        socket = room.directory / "uwsgi.sock"
        environment = lua51.environment()
        environment["LD_LIBRARY_PATH"] += "".join([f":{path}" for path in libraries])
        environment["BENCH_SCRIPTS"] = str(root)
        with daemon.running(
            [
                str(PACKAGES.root / "usr" / "bin" / "uwsgi-core"),
                f"--plugins-dir={PACKAGES.root}/usr/lib/uwsgi/plugins",
                "--plugin=lua51",
                f"--lua={root / 'app.lua'}",
                f"--socket={socket}",
                "--chmod-socket=666",
                "--listen=4096",
                "--master",
                f"--processes={room.workers}",
                "--disable-logging",
                *self.extra,
            ],
            room.directory / "uwsgi.out",
            environment,
        ) as uwsgi:
            uwsgi.wait_until(lambda: daemon.accepts(str(socket)), "uWSGI accepts")
            with nginx.serving(
                room.directory,
                root,
                LOCATION.format(socket=socket),
                workers=room.nginx_workers,
            ) as (web, port):
                yield Served(port, root, web, uwsgi)

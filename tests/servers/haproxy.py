"""HAProxy with config/haproxy.cfg, without and with several requests a connection."""

import contextlib
import functools
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench import daemon
from tests.servers.server import Application, Running, Server, shipped

MULTIPLEX = "# option mpxs-conns"


def missing() -> str | None:
    return None if shutil.which("haproxy") else "haproxy is not installed"


@contextlib.contextmanager
def serve(
    place: Path, application: Application, *, multiplex: bool = False
) -> Iterator[Running]:
    port, log = daemon.free_port(), place / "haproxy.out"
    changes = {
        "bind :80": f"bind 127.0.0.1:{port}",
        "/srv/lua": str(application.root),
        "/run/luafarm.sock": str(application.socket),
    }
    if multiplex:
        changes[MULTIPLEX] = MULTIPLEX.removeprefix("# ")
    configuration = place / "haproxy.cfg"
    configuration.write_text(shipped("haproxy.cfg", changes))
    with daemon.running(["haproxy", "-db", "-f", str(configuration)], log) as process:
        process.wait_until(
            lambda: daemon.accepts(("127.0.0.1", port)), "HAProxy accepts connections"
        )
        yield Running(port, process, log)


SERVERS = (
    Server("haproxy", missing, serve, keeps=True, takes_chunked=False),
    Server(
        "haproxy-multiplexed",
        missing,
        functools.partial(serve, multiplex=True),
        keeps=True,
        takes_chunked=False,
    ),
)

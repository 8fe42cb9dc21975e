"""HAProxy with config/haproxy.cfg: connections kept, multiplexed, or one a request."""

import contextlib
import functools
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench import daemon
from tests.servers.server import Application, Running, Server, shipped

MULTIPLEX = {"# option mpxs-conns": "option mpxs-conns"}
CLOSE = {"    option keep-conn": "    no option keep-conn"}


def missing() -> str | None:
    return None if shutil.which("haproxy") else "haproxy is not installed"


@contextlib.contextmanager
def serve(
    place: Path, application: Application, *, changes: Mapping[str, str] | None = None
) -> Iterator[Running]:
    port, log = daemon.free_port(), place / "haproxy.out"
    text = shipped(
        "haproxy.cfg",
        {
            **(changes or {}),
            "bind :80": f"bind 127.0.0.1:{port}",
            "/srv/lua": str(application.root),
            "/run/luafarm.sock": str(application.socket),
        },
    )
    configuration = place / "haproxy.cfg"
    configuration.write_text(text)
    with daemon.running(["haproxy", "-db", "-f", str(configuration)], log) as process:
        process.wait_until(
            lambda: daemon.accepts(("127.0.0.1", port)), "HAProxy accepts connections"
        )
        yield Running(port, process, log)


SERVERS = (
    Server(
        "haproxy", missing, serve, keeps=True, takes_chunked=False, tells_abort=False
    ),
    Server(
        "haproxy-multiplexed",
        missing,
        functools.partial(serve, changes=MULTIPLEX),
        keeps=True,
        takes_chunked=False,
        tells_abort=False,
    ),
    Server(
        "haproxy-close",
        missing,
        functools.partial(serve, changes=CLOSE),
        takes_chunked=False,
    ),
)

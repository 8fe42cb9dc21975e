"""HAProxy with config/haproxy.cfg: connections kept, multiplexed, or one a request."""

import contextlib
import functools
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench import daemon
from tests.servers.server import Application, Running, Server, Variants, shipped

MULTIPLEX = {"# option mpxs-conns": "option mpxs-conns"}
FRONT_CONTROLLER = {
    "    http-request replace-path ^(/[^/.]+)": "    # ",
    "# http-request replace-path": "http-request replace-path",
}
ERROR_PAGES = {
    "# http-error": "http-error",
    "# http-response return": "http-response return",
}
FILES = {
    "http-request deny deny_status 404 if is_file": "# ",
    "# use_backend files": "use_backend files",
    "# backend files\n#     server": "backend files\n    server",
}
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


def _server(name: str, changes: Mapping[str, str], *, keeps: bool) -> Server:
    return Server(
        name,
        missing,
        functools.partial(serve, changes=changes),
        keeps=keeps,
        takes_chunked=False,
        tells_abort=not keeps,
        sees_files=False,
        sees_scripts=False,
        completes_directories=False,
        follows_own_links=False,
    )


SERVERS = (
    _server("haproxy", {}, keeps=True),
    _server("haproxy-multiplexed", MULTIPLEX, keeps=True),
    _server("haproxy-close", CLOSE, keeps=False),
)

VARIANTS = Variants(
    "haproxy",
    missing,
    functools.partial(serve, changes=FRONT_CONTROLLER),
    functools.partial(serve, changes=ERROR_PAGES),
    sees_files=False,
)

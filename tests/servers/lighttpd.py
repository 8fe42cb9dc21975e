"""lighttpd with config/lighttpd.conf."""

import contextlib
import functools
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench import daemon
from tests.servers.server import Application, Running, Server, Variants, shipped

FRONT_CONTROLLER = {
    "url.rewrite-once": "# url.rewrite-once",
    "# # url.rewrite-once": "url.rewrite-once",
    "# url.rewrite-if-not-file": "url.rewrite-if-not-file",
}
ERROR_PAGES = {
    "# server.errorfile-prefix": "server.errorfile-prefix",
    "# server.error-intercept": "server.error-intercept",
}


def missing() -> str | None:
    return None if shutil.which("lighttpd") else "lighttpd is not installed"


@contextlib.contextmanager
def serve(
    place: Path, application: Application, *, changes: Mapping[str, str] | None = None
) -> Iterator[Running]:
    port, logs = daemon.free_port(), place / "logs"
    logs.mkdir()
    logs.chmod(0o777)  # lighttpd opens them after it dropped root
    text = shipped(
        "lighttpd.conf",
        {
            **(changes or {}),
            "server.port          = 80": f"server.port = {port}",
            '"0.0.0.0"': '"127.0.0.1"',
            "/srv/lua": str(application.root),
            "/run/luafarm.sock": str(application.socket),
            "/var/log/lighttpd": str(logs),
            "/run/lighttpd.pid": f"{place}/lighttpd.pid",
            '"/var/tmp"': f'"{logs}"',
        },
    )
    configuration = place / "lighttpd.conf"
    configuration.write_text(text)
    command = ["lighttpd", "-D", "-f", str(configuration)]
    with daemon.running(command, place / "lighttpd.out") as process:
        process.wait_until(
            lambda: daemon.accepts(("127.0.0.1", port)), "lighttpd accepts connections"
        )
        yield Running(port, process, logs / "error.log")


SERVERS = (
    Server(
        "lighttpd",
        missing,
        serve,
        tells_abort=False,
        completes_directories=False,
        follows_own_links=False,
    ),
)

VARIANTS = Variants(
    "lighttpd",
    missing,
    functools.partial(serve, changes=FRONT_CONTROLLER),
    functools.partial(serve, changes=ERROR_PAGES),
)

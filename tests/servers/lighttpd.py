"""lighttpd with config/lighttpd.conf."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench import daemon
from tests.servers.server import Application, Running, Server, shipped


def missing() -> str | None:
    return None if shutil.which("lighttpd") else "lighttpd is not installed"


@contextlib.contextmanager
def serve(place: Path, application: Application) -> Iterator[Running]:
    port, logs = daemon.free_port(), place / "logs"
    logs.mkdir()
    logs.chmod(0o777)  # lighttpd opens them after it dropped root
    text = shipped(
        "lighttpd.conf",
        {
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


SERVERS = (Server("lighttpd", missing, serve, tells_abort=False),)

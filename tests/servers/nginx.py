"""nginx with config/nginx.conf: connections kept as shipped, or one a request."""

import contextlib
import functools
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench import daemon
from tests.servers.server import Application, Running, Server, Variants, shipped

INCLUDED = [Path("/etc/nginx/mime.types"), Path("/etc/nginx/fastcgi_params")]
FRONT_CONTROLLER = {
    "        rewrite ^(/[^/]+)": "        # rewrite ^(/[^/]+)",
    "# rewrite ^(.*)$": "rewrite ^(.*)$",
}
ERROR_PAGES = {
    "# error_page 404": "error_page 404",
    "# error_page 500": "error_page 500",
    "# fastcgi_intercept_errors": "fastcgi_intercept_errors",
}
TEMPORARY = "\n".join(
    f"    {kind}_temp_path {{place}}/{kind};"
    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)


def missing() -> str | None:
    return None if shutil.which("nginx") else "nginx is not installed"


@contextlib.contextmanager
def serve(
    place: Path,
    application: Application,
    *,
    changes: Mapping[str, str] | None = None,
    tcp: bool = False,
) -> Iterator[Running]:
    port, log = daemon.free_port(), place / "error.log"
    unix = f"unix:{application.socket}"
    text = shipped(
        "nginx.conf",
        {
            **(changes or {}),
            "listen 80;": f"listen 127.0.0.1:{port};",
            "root /srv/lua;": f"root {application.root};",
            "unix:/run/luafarm.sock": f"127.0.0.1:{application.port}" if tcp else unix,
            "pid /run/nginx.pid;": f"pid {place}/nginx.pid;\ndaemon off;",
            "/var/log/nginx/error.log": str(log),
            "access_log /var/log/nginx/access.log;": "access_log off;\n"
            + TEMPORARY.format(place=place),
        },
    )
    for file in INCLUDED:
        shutil.copy(file, place)
    configuration = place / "nginx.conf"
    configuration.write_text(text)
    command = ["nginx", "-p", str(place), "-e", str(log), "-c", str(configuration)]
    with daemon.running(command, place / "nginx.out") as process:
        process.wait_until(
            lambda: daemon.accepts(("127.0.0.1", port)), "nginx accepts connections"
        )
        yield Running(port, process, log)


SERVERS = (
    Server("nginx-keep", missing, serve, keeps=True),
    Server("nginx-keep-tcp", missing, functools.partial(serve, tcp=True), keeps=True),
    Server(
        "nginx-close",
        missing,
        functools.partial(
            serve,
            changes={
                "fastcgi_pass luafarm;": "fastcgi_pass unix:/run/luafarm.sock;",
                "fastcgi_keep_conn on;": "",
            },
        ),
    ),
)

VARIANTS = Variants(
    "nginx",
    missing,
    functools.partial(serve, changes=FRONT_CONTROLLER),
    functools.partial(serve, changes=ERROR_PAGES),
)

"""Apache with config/apache.conf: both forms of proxying, connections kept or not."""

import contextlib
import functools
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench import daemon
from tests.servers.server import Application, Running, Server, shipped

MODULES = Path("/usr/lib/apache2/modules")

# What Debian's own files around a site do, with one process.
AROUND = """\
ServerRoot {place}
DefaultRuntimeDir {place}
PidFile {place}/apache.pid
ErrorLog {log}
LogLevel warn
ServerName localhost
Listen 127.0.0.1:{port}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule headers_module {modules}/mod_headers.so
LoadModule setenvif_module {modules}/mod_setenvif.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_fcgi_module {modules}/mod_proxy_fcgi.so
{user}
StartServers 1
ServerLimit 1
ThreadsPerChild 64
MaxRequestWorkers 64
KeepAliveTimeout 1
"""

MATCH = "# ProxyPassMatch "


def missing() -> str | None:
    if shutil.which("apache2") and (MODULES / "mod_proxy_fcgi.so").exists():
        return None
    return "apache2 is not installed"


@contextlib.contextmanager
def serve(
    place: Path, application: Application, *, match: bool = False, reuse: bool = True
) -> Iterator[Running]:
    port, log = daemon.free_port(), place / "error.log"
    around = AROUND.format(
        place=place,
        log=log,
        port=port,
        modules=MODULES,
        user="User www-data\nGroup www-data" if daemon.IS_ROOT else "",
    )
    changes = {
        "/run/luafarm.sock": str(application.socket),
        "/srv/lua": str(application.root),
        "*:80": f"*:{port}",
    }
    if match:
        changes[MATCH] = MATCH.removeprefix("# ")
    if not reuse:
        changes["enablereuse=on"] = "enablereuse=off"
    configuration = place / "apache.conf"
    configuration.write_text(around + shipped("apache.conf", changes))
    command = ["apache2", "-D", "FOREGROUND", "-f", str(configuration)]
    with daemon.running(command, place / "apache.out") as process:
        process.wait_until(
            lambda: daemon.accepts(("127.0.0.1", port)), "Apache accepts connections"
        )
        yield Running(port, process, log)


def _server(name: str, *, match: bool, reuse: bool) -> Server:
    start = functools.partial(serve, match=match, reuse=reuse)
    return Server(name, missing, start, keeps=reuse, tells_abort=False)


SERVERS = (
    _server("apache-handler", match=False, reuse=True),
    _server("apache-handler-close", match=False, reuse=False),
    _server("apache-match", match=True, reuse=True),
    _server("apache-match-close", match=True, reuse=False),
)

"""Apache with config/apache.conf: both forms of proxying, connections kept or not."""

import contextlib
import functools
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench import daemon
from tests.servers.server import Application, Running, Server, Variants, shipped

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
LoadModule alias_module {modules}/mod_alias.so
LoadModule dir_module {modules}/mod_dir.so
LoadModule mime_module {modules}/mod_mime.so
TypesConfig /etc/mime.types
LoadModule rewrite_module {modules}/mod_rewrite.so
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

MATCH = {"# ProxyPassMatch ": "ProxyPassMatch "}
CLOSE = {"enablereuse=on": "enablereuse=off"}
FRONT_CONTROLLER = {
    '    RewriteRule "^(/[^/]+)': '    # RewriteRule "^(/[^/]+)',
    '# RewriteRule "^(.*)': 'RewriteRule "^(.*)',
}
ERROR_PAGES = {
    "# ErrorDocument": "ErrorDocument",
    "# ProxyErrorOverride": "ProxyErrorOverride",
}


def missing() -> str | None:
    if shutil.which("apache2") and (MODULES / "mod_proxy_fcgi.so").exists():
        return None
    return "apache2 is not installed"


@contextlib.contextmanager
def serve(
    place: Path, application: Application, *, changes: Mapping[str, str] | None = None
) -> Iterator[Running]:
    port, log = daemon.free_port(), place / "error.log"
    around = AROUND.format(
        place=place,
        log=log,
        port=port,
        modules=MODULES,
        user="User www-data\nGroup www-data" if daemon.IS_ROOT else "",
    )
    text = shipped(
        "apache.conf",
        {
            **(changes or {}),
            "/run/luafarm.sock": str(application.socket),
            "/srv/lua": str(application.root),
            "*:80": f"*:{port}",
        },
    )
    configuration = place / "apache.conf"
    configuration.write_text(around + text)
    command = ["apache2", "-D", "FOREGROUND", "-f", str(configuration)]
    with daemon.running(command, place / "apache.out") as process:
        process.wait_until(
            lambda: daemon.accepts(("127.0.0.1", port)), "Apache accepts connections"
        )
        yield Running(port, process, log)


def _server(name: str, changes: Mapping[str, str], *, keeps: bool) -> Server:
    start = functools.partial(serve, changes=changes)
    sees_scripts = changes.keys().isdisjoint(MATCH)
    return Server(
        name,
        missing,
        start,
        keeps=keeps,
        tells_abort=False,
        sees_scripts=sees_scripts,
    )


SERVERS = (
    _server("apache-handler", {}, keeps=True),
    _server("apache-handler-close", CLOSE, keeps=False),
    _server("apache-match", MATCH, keeps=True),
    _server("apache-match-close", {**MATCH, **CLOSE}, keeps=False),
)

VARIANTS = Variants(
    "apache",
    missing,
    functools.partial(serve, changes=FRONT_CONTROLLER),
    functools.partial(serve, changes=ERROR_PAGES),
)

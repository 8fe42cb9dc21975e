"""The nginx of a measurement: one configuration for all peers but for one location."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench import daemon

MODULES = Path("/usr/lib/nginx/modules")

# Buffers hold the largest reply (100 KiB) and body (10 KiB) of the benchmark, so that
# no peer is charged for temporary files. Nothing is written to an access log.
CONFIGURATION = """\
{modules}
{user}
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log warn;
worker_processes {workers};
worker_rlimit_nofile 20000;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    default_type text/html;
    keepalive_timeout 60;
    keepalive_requests 1000000000;
    client_body_buffer_size 64k;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    fastcgi_buffer_size 16k;
    fastcgi_buffers 32 8k;
    uwsgi_buffer_size 16k;
    uwsgi_buffers 32 8k;
{http}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {root};
        location / {{
{location}
        }}
    }}
}}
"""


def missing() -> str | None:
    """Why nginx cannot be started, or None."""
    return None if shutil.which("nginx") else "nginx is not installed"


@contextlib.contextmanager
def serving(
    directory: Path,
    root: Path,
    location: str,
    *,
    http: str = "",
    modules: tuple[str, ...] = (),
    workers: int,
) -> Iterator[tuple[daemon.Daemon, int]]:
    """Nginx over ``root`` with these directives; yields it and its port."""
    port = daemon.free_port()
    configuration = directory / "nginx.conf"
    configuration.write_text(
        CONFIGURATION.format(
            directory=directory,
            root=root,
            location=location,
            http=http,
            modules="\n".join(f"load_module {MODULES / name};" for name in modules),
            user="user root;" if daemon.IS_ROOT else "",
            workers=workers,
            port=port,
        )
    )
    log = directory / "nginx.out"
    command = ["nginx", "-p", str(directory), "-e", str(log), "-c", str(configuration)]
    with daemon.running(command, log) as nginx:
        nginx.wait_until(
            lambda: daemon.accepts(("127.0.0.1", port)), "nginx accepts connections"
        )
        yield nginx, port

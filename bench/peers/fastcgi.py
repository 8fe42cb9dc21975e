"""A FastCGI application on a UNIX socket behind nginx, kept connections or not."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bench import nginx
from bench.daemon import Daemon
from bench.peers.peer import Room, Served

PLAIN = """\
            include /etc/nginx/fastcgi.conf;
            fastcgi_pass unix:{socket};
"""

KEPT = """\
            include /etc/nginx/fastcgi.conf;
            fastcgi_pass application;
            fastcgi_keep_conn on;
"""

# As many idle connections as a worker may hold at the highest concurrency.
UPSTREAM = """\
    upstream application {{
        server unix:{socket};
        keepalive 1024;
        keepalive_requests 1000000000;
    }}
"""


@contextlib.contextmanager
def behind_nginx(
    room: Room, root: Path, socket: Path, application: Daemon, *, keep: bool
) -> Iterator[Served]:
    """Nginx in front of ``application``, which listens on ``socket`` already.

    An application that serves one connection per worker runs without kept ones: each
    would occupy a worker.
    """
    with nginx.serving(
        room.directory,
        root,
        KEPT if keep else PLAIN.format(socket=socket),
        http=UPSTREAM.format(socket=socket) if keep else "",
        workers=room.nginx_workers,
    ) as (web, port):
        yield Served(port, root, web, application)

"""Listening sockets of VM hosts, made by the supervisor: a host could not make one."""

# Impure.

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from luafarm.config.endpoints import parse_host_port
from luafarm.process import rundir
from luafarm.wire import keepalive

_BACKLOG: Final = 128  # fronts and brokers that connect at once
_IPC: Final = "ipc://"
_TCP: Final = "tcp://"


@dataclass(frozen=True, slots=True)
class Door:
    """A listening socket, and the endpoint by which others reach it."""

    sock: socket.socket
    endpoint: str

    @property
    def is_tcp(self) -> bool:
        """Whether it is reached over the network."""
        return self.endpoint.startswith(_TCP)


def listen(wanted: str, run: Path, short: str) -> Door:
    """Return a new door as `[vmhost] endpoint` wants it.

    short: names a UNIX socket in the run directory; used by no other host.
    """
    if wanted.startswith(_TCP):
        return _listen_tcp(wanted.removeprefix(_TCP))
    endpoint = rundir.host_endpoint(run, short)
    sock = _bound(socket.AF_UNIX, endpoint.removeprefix(_IPC))
    return Door(sock, endpoint)


def remove(endpoint: str) -> None:
    """Remove what a door has left in the file system."""
    if endpoint.startswith(_IPC):
        Path(endpoint.removeprefix(_IPC)).unlink(missing_ok=True)


def tcp_host(wanted: str) -> str:
    """Return the host part of a `tcp://HOST:PORT` endpoint, as it is written."""
    return wanted.removeprefix(_TCP).rpartition(":")[0]


def _listen_tcp(address: str) -> Door:
    written = address.rpartition(":")[0]
    host, port = parse_host_port(address.replace(":*", ":0"))
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    sock = _bound(family, (host, port))
    # for each connection from the start: a host may not set it, once it is confined
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    keepalive.keep(sock)
    return Door(sock, f"{_TCP}{written}:{sock.getsockname()[1]}")


def _bound(family: int, address: str | tuple[str, int]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)  # who accepts does so when epoll says so, and never waits
    return sock

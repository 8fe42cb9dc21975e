"""Listening sockets of a front, from the settings' words."""

import os
import socket
import stat
from pathlib import Path

from luafarm.endpoints import parse_listener
from luafarm.errors import SettingsError
from luafarm.settings import Front


def bind(text: str, front: Front) -> socket.socket:
    """Return the listening socket of `unix:PATH`, `HOST:PORT` or `fd:N`.

    Raises SettingsError when it cannot be had.
    """
    listener = parse_listener(text)
    try:
        if listener.fd >= 0:
            return _inherited(listener.fd)
        if listener.path:
            return _unix(Path(listener.path), front)
        return tcp(listener.host, listener.port, front.backlog)
    except OSError as error:
        raise SettingsError(
            f'[front] listen = "{text}": {error.strerror or error}'
        ) from None


def tcp(host: str, port: int, backlog: int) -> socket.socket:
    """Return a socket that listens on a host and port; no host: all addresses."""
    found = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    # an unspecified host listens on both families through one IPv6 socket
    family, _, _, _, address = found[0]
    if not host and socket.has_dualstack_ipv6():
        return socket.create_server(
            ("", port), family=socket.AF_INET6, backlog=backlog, dualstack_ipv6=True
        )
    return socket.create_server(address[:2], family=family, backlog=backlog)


def _inherited(fd: int) -> socket.socket:
    sock = socket.socket(fileno=os.dup(fd))
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.close()
        raise OSError(0, "not a listening socket")
    return sock


def _unix(path: Path, front: Front) -> socket.socket:
    """Listen on a path; take the place of a socket that nobody listens on."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            try:
                sock.connect(os.fspath(path))
            except ConnectionRefusedError:
                path.unlink()
            else:
                raise OSError(0, "somebody listens there already")
            finally:
                sock.close()
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(os.fspath(path))
        path.chmod(front.listen_mode)
        sock.listen(front.backlog)
    except OSError:
        sock.close()
        raise
    return sock

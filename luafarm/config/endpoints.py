"""Addresses as settings write them: FastCGI listeners and ZeroMQ endpoints."""

import ipaddress
import os
import re
from typing import Final, NamedTuple

SUN_PATH_MAX: Final = 107
"""Bytes of a UNIX socket's path that the kernel takes (unix(7): sun_path, less NUL)."""

PORT_MAX: Final = 65535
_PORT_DIGITS: Final = 5
_FIRST_FREE_PORT: Final = 1024  # ip(7): net.ipv4.ip_unprivileged_port_start

_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?", re.ASCII)


class Listener(NamedTuple):
    """A FastCGI listener: a UNIX path, or a host and port, or an inherited socket."""

    path: str  # empty unless `unix:PATH`
    host: str
    port: int
    fd: int  # -1 unless `fd:N`


def parse_listener(text: str) -> Listener:
    """Return what `unix:PATH`, `HOST:PORT` or `fd:N` names. Raise ValueError."""
    kind, _, rest = text.partition(":")
    if kind == "unix":
        check_socket_path(rest)
        return Listener(rest, "", 0, -1)
    if kind == "fd":
        if not (rest.isascii() and rest.isdigit()):
            raise ValueError("fd:N wants the number of an open file descriptor")
        return Listener("", "", 0, int(rest))
    if text.startswith(("/", "./")):
        raise ValueError(f"a path has unix: before it, unix:{text}")
    host, port = parse_host_port(text)
    return Listener("", host, port, -1)


def is_privileged(listener: Listener) -> bool:
    """Return whether only a process with CAP_NET_BIND_SERVICE may listen there."""
    return 0 < listener.port < _FIRST_FREE_PORT


def parse_web(text: str) -> Listener:
    """Return what `HOST:PORT` or `fd:N` names, for HTTP. Raise ValueError."""
    if text.startswith(("unix:", "/", "./")):
        raise ValueError("HOST:PORT belongs here, such as 127.0.0.1:8080")
    return parse_listener(text)


def parse_host_port(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`, `[V6]:PORT` or `*:PORT`. Raise ValueError.

    The host of `*:PORT` and `:PORT` is empty: all addresses.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()):
        raise ValueError("HOST:PORT belongs here, such as 127.0.0.1:9000")
    if len(port.lstrip("0")) > _PORT_DIGITS or int(port) > PORT_MAX:
        raise ValueError(f"port {port[:20]}: the most is {PORT_MAX}")
    if host.startswith("[") and host.endswith("]"):
        return str(ipaddress.IPv6Address(host[1:-1])), int(port)
    if host in {"", "*"}:
        return "", int(port)
    if not _HOST.fullmatch(host):
        raise ValueError(f"{host} is no host name or address ([...] around IPv6)")
    return host, int(port)


def check_socket_path(path: str) -> None:
    """Raise ValueError when no UNIX socket can have this path."""
    if not path:
        raise ValueError("a path is missing")
    length = len(os.fsencode(path))
    if length > SUN_PATH_MAX:
        raise ValueError(
            f"the path has {length} bytes; UNIX sockets take {SUN_PATH_MAX}"
        )


def is_local(endpoint: str, *, is_wild: bool = False) -> bool:
    """Return whether only this machine reaches a ZeroMQ endpoint. Raise ValueError.

    is_wild: the port may be `*`, to be chosen by the kernel.
    """
    scheme, _, rest = endpoint.partition("://")
    if scheme == "ipc":
        check_socket_path(rest)
        return True
    if scheme != "tcp":
        raise ValueError("ipc://PATH or tcp://HOST:PORT belongs here")
    if is_wild and rest.endswith(":*"):
        rest = rest[:-1] + "0"
    _, colon, port_text = rest.rpartition(":")
    if not colon or not (port_text.isascii() and port_text.isdigit()):
        raise ValueError("tcp://HOST:PORT belongs here, such as tcp://127.0.0.1:7000")
    host, port = parse_host_port(rest)
    if port == 0 and not is_wild:
        raise ValueError(f"a port from 1 to {PORT_MAX} belongs here")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name or all addresses: whoever reaches the machine


def check_reachable(endpoint: str) -> None:
    """Raise ValueError when an endpoint that is told to others names no address."""
    if endpoint.startswith(("tcp://*", "tcp://:", "tcp://0.0.0.0:", "tcp://[::]:")):
        raise ValueError(
            "others connect to it: the address of this machine belongs here"
        )

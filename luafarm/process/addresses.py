"""Where sockets listen, written so that each place has one spelling.

Settings may write a place in several ways (`localhost:9000` and `127.0.0.1:9000`, a
path with `..` or through a link), or as a descriptor. An address here is a word that is
the same for all of them; it is compared, and taken apart by nobody else.
"""

# Impure.

import os
import socket
from dataclasses import dataclass
from typing import Final

_IPV4: Final = "0.0.0.0"
_IPV6: Final = "::"
_BOTH: Final = "*"
_TCP: Final = "tcp"
_UNIX: Final = "unix"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a TCP listener is to be. is_both: IPv4 and IPv6 by one socket."""

    family: int
    place: tuple[str | int | bytes, ...]  # as `bind` takes it
    is_both: bool = False

    @property
    def address(self) -> str:
        """Return the address that its socket will have."""
        host, port = self.place[:2]
        return _tcp(str(host), int(port), is_both=self.is_both)


def target(host: str, port: int) -> Target:
    """Return where `HOST:PORT` listens; no host: all addresses. Raise OSError."""
    if not host and socket.has_dualstack_ipv6():
        return Target(socket.AF_INET6, (_IPV6, port), is_both=True)
    found = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, _, _, _, place = found[0]
    return Target(family, place)


def of_path(path: str) -> str:
    """Return the address of a UNIX path."""
    return f"{_UNIX} {os.path.realpath(path)}"


def of_socket(sock: socket.socket) -> str:
    """Return the address of a socket that listens; empty: it has none to compare."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:  # a relative name is of nobody knows where
        is_path = isinstance(name, str) and name.startswith("/")
        return of_path(name) if is_path else ""
    if sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return ""
    is_both = sock.family == socket.AF_INET6 and not sock.getsockopt(
        socket.IPPROTO_IPV6, socket.IPV6_V6ONLY
    )
    return _tcp(name[0], name[1], is_both=is_both and name[0] == _IPV6)


def shown(sock: socket.socket) -> str:
    """Return where a socket listens in one word: `unix:PATH`, `HOST:PORT` or `fd:N`."""
    kind, _, place = of_socket(sock).partition(" ")
    if kind == _UNIX:
        return f"{_UNIX}:{place}"
    if kind == _TCP:
        port, host = place.split()
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"fd:{sock.fileno()}"


def overlap(one: str, other: str) -> bool:
    """Return whether two addresses cannot both be listened on."""
    if not one.startswith(_TCP) or not other.startswith(_TCP):
        return bool(one) and one == other
    _, port, host = one.split()
    _, other_port, other_host = other.split()
    if port != other_port or not _families(host) & _families(other_host):
        return False
    is_wild = not {_IPV4, _IPV6, _BOTH}.isdisjoint({host, other_host})
    return is_wild or host == other_host


def _tcp(host: str, port: int, *, is_both: bool) -> str:
    host = _BOTH if is_both else host.partition("%")[0]
    return f"{_TCP} {port} {host}"


def _families(host: str) -> set[int]:
    if host == _BOTH:
        return {socket.AF_INET, socket.AF_INET6}
    return {socket.AF_INET6 if ":" in host else socket.AF_INET}

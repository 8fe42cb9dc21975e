"""The parameters of a request over HTTP: what a web server would send of it.

They are CGI's meta-variables (RFC 3875, 4.1) and those that nginx adds by habit.
"""

import re
from dataclasses import dataclass
from typing import Final

from fcgi.http.request import Request
from fcgi.http.roots import Location

_NAME: Final = re.compile(rb"[a-z0-9-]+")
"""Field names that scripts get, as nginx has it: X_Real_IP or X.Real.IP, which anybody
may send, would be to some what X-Real-IP is, which a proxy vouches for."""

_LEFT_OUT: Final = frozenset(
    {
        b"content-type",  # both have names of their own
        b"content-length",
        b"proxy",  # httpoxy: HTTP_PROXY is a setting to some programs
    }
)
_MAPPED: Final = "::ffff:"  # an IPv4 address on a socket of IPv6 (RFC 4291, 2.5.5.2)


@dataclass(frozen=True, slots=True)
class Ends:
    """Both ends of a connection: hosts and ports as text, empty on UNIX sockets."""

    client: tuple[bytes, bytes]
    server: tuple[bytes, bytes]


def end(address: object) -> tuple[bytes, bytes]:
    """Return host and port of a socket's address."""
    if not isinstance(address, tuple):
        return b"", b""
    host, port = str(address[0]), str(address[1])
    if host.startswith(_MAPPED) and "." in host:
        host = host.removeprefix(_MAPPED)
    return host.encode(), port.encode()


def parameters(
    request: Request, place: Location, ends: Ends
) -> list[tuple[bytes, bytes]]:
    """Return the parameters of a request whose script may be at a place."""
    fields = _merged(request.fields)
    length = str(request.body_bytes).encode() if request.body_bytes else b""
    found = [
        (b"SCRIPT_FILENAME", place.root + place.script),
        (b"QUERY_STRING", request.target.query),
        (b"REQUEST_METHOD", request.method),
        (b"SCRIPT_NAME", place.script),
        (b"PATH_INFO", place.info),
        (b"REQUEST_URI", request.target.uri),
        (b"DOCUMENT_URI", place.script + place.info),
        (b"DOCUMENT_ROOT", place.root),
        (b"SERVER_PROTOCOL", b"HTTP/" + request.version),
        (b"REQUEST_SCHEME", b"http"),
        (b"GATEWAY_INTERFACE", b"CGI/1.1"),
        (b"SERVER_SOFTWARE", b"luafarm"),
        (b"REMOTE_ADDR", ends.client[0]),
        (b"REMOTE_PORT", ends.client[1]),
        (b"SERVER_ADDR", ends.server[0]),
        (b"SERVER_PORT", ends.server[1]),
        (b"SERVER_NAME", ends.server[0]),
        (b"CONTENT_TYPE", fields.get(b"content-type", b"")),
        (b"CONTENT_LENGTH", length),
    ]
    for name, value in fields.items():
        if name not in _LEFT_OUT:
            found.append((b"HTTP_" + name.upper().replace(b"-", b"_"), value))
    return found


def _merged(fields: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return fields by name, those that come twice in one (RFC 9110, 5.3)."""
    merged: dict[bytes, bytes] = {}
    for name, value in fields:
        if name in merged:
            glue = b"; " if name == b"cookie" else b", "
            merged[name] += glue + value
        elif _NAME.fullmatch(name) is not None:
            merged[name] = value
    return merged

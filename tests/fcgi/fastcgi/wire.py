"""What a web server writes, and its reading of what it gets: for tests only.

Written apart from `fcgi.fastcgi.records`, so that a mistake there does not hide here.
"""

import struct
from dataclasses import dataclass

HEADER = struct.Struct(">BBHHBB")

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, STDERR, DATA = range(1, 9)
GET_VALUES, RESULT, UNKNOWN = 9, 10, 11

Pairs = dict[str, str] | list[tuple[bytes, bytes]] | bytes


@dataclass(frozen=True)
class Got:
    """One record as it came."""

    type: int
    id: int
    content: bytes
    padding: int = 0
    version: int = 1
    reserved: int = 0


def rec(
    kind: int,
    request_id: int,
    content: bytes = b"",
    pad: int | None = None,
    version: int = 1,
    reserved: int = 0,
) -> bytes:
    padding = -len(content) % 8 if pad is None else pad
    head = HEADER.pack(version, kind, request_id, len(content), padding, reserved)
    return head + content + b"\xa5" * padding


def begin(
    request_id: int = 1, role: int = 1, flags: int = 0, pad: int | None = None
) -> bytes:
    return rec(BEGIN, request_id, struct.pack(">HB5x", role, flags), pad)


def size(n: int, is_long: bool = False) -> bytes:
    return struct.pack(">I", n | 1 << 31) if is_long or n > 127 else bytes([n])


def pair(name: bytes, value: bytes, long: tuple[bool, bool] = (False, False)) -> bytes:
    return size(len(name), long[0]) + size(len(value), long[1]) + name + value


def blob(pairs: Pairs) -> bytes:
    if isinstance(pairs, bytes):
        return pairs
    if isinstance(pairs, dict):
        pairs = [(n.encode(), v.encode("latin-1")) for n, v in pairs.items()]
    return b"".join(pair(n, v) for n, v in pairs)


def stream(
    kind: int, request_id: int, data: bytes, chunk: int = 65535, pad: int | None = None
) -> bytes:
    """Return a stream's records and the empty one that ends it."""
    parts = [
        rec(kind, request_id, data[i : i + chunk], pad)
        for i in range(0, len(data), chunk)
    ]
    return b"".join(parts) + rec(kind, request_id, b"", pad)


def req(
    pairs: Pairs,
    stdin: bytes = b"",
    *,
    id: int = 1,
    keep: bool = False,
    role: int = 1,
    chunk: int = 65535,
    pad: int | None = None,
    data: bytes | None = None,
) -> bytes:
    """Return a whole request."""
    return (
        begin(id, role, int(keep), pad)
        + stream(PARAMS, id, blob(pairs), chunk, pad)
        + stream(STDIN, id, stdin, chunk, pad)
        + (b"" if data is None else stream(DATA, id, data, chunk, pad))
    )


def split(data: bytes) -> tuple[list[Got], bytes]:
    """Return the whole records in the bytes, and the rest."""
    found: list[Got] = []
    at = 0
    while len(data) - at >= HEADER.size:
        version, kind, request_id, length, padding, reserved = HEADER.unpack_from(
            data, at
        )
        end = at + HEADER.size + length
        if end + padding > len(data):
            break
        content = data[at + HEADER.size : end]
        found.append(Got(kind, request_id, content, padding, version, reserved))
        at = end + padding
    return found, data[at:]


def all_records(data: bytes) -> list[Got]:
    """Return the records in bytes that end with one."""
    found, rest = split(data)
    assert not rest, f"{len(rest)} bytes are no record"
    return found


def joined(records: list[Got], kind: int, request_id: int = 1) -> bytes:
    """Return a stream's content."""
    return b"".join(r.content for r in records if r.type == kind and r.id == request_id)


def pairs_of(content: bytes) -> list[tuple[bytes, bytes]]:
    """Return name-value pairs, read the slow and plain way."""
    found: list[tuple[bytes, bytes]] = []
    at = 0
    while at < len(content):
        lengths: list[int] = []
        for _ in range(2):
            if content[at] < 128:
                lengths.append(content[at])
                at += 1
            else:
                lengths.append(struct.unpack_from(">I", content, at)[0] & 0x7FFFFFFF)
                at += 4
        name = content[at : at + lengths[0]]
        at += lengths[0]
        value = content[at : at + lengths[1]]
        assert len(value) == lengths[1]
        at += lengths[1]
        found.append((name, value))
    return found


NGINX = {
    "QUERY_STRING": "a=1",
    "REQUEST_METHOD": "GET",
    "CONTENT_TYPE": "",
    "CONTENT_LENGTH": "",
    "SCRIPT_NAME": "/hello.lua",
    "REQUEST_URI": "/hello.lua?a=1",
    "DOCUMENT_URI": "/hello.lua",
    "DOCUMENT_ROOT": "/srv/www",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "REQUEST_SCHEME": "http",
    "GATEWAY_INTERFACE": "CGI/1.1",
    "SERVER_SOFTWARE": "nginx/1.22.1",
    "REMOTE_ADDR": "127.0.0.1",
    "REMOTE_PORT": "44380",
    "SERVER_ADDR": "127.0.0.1",
    "SERVER_PORT": "80",
    "SERVER_NAME": "_",
    "REDIRECT_STATUS": "200",
    "SCRIPT_FILENAME": "/srv/www/hello.lua",
    "HTTP_HOST": "localhost",
    "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 "
    "Firefox/115.0 and a few words more, so that four bytes tell its length",
    "HTTP_ACCEPT": "*/*",
}
"""Parameters as nginx 1.22 sends them with its fastcgi.conf."""

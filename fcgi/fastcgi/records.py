"""FastCGI records on the wire: numbers, and bytes for what an application sends.

A record is a header of eight bytes (version, type, request id, content length, padding
length, reserved), content, padding. What we send is padded to a multiple of eight, as
FastCGI 1.0, 3.3 recommends. Plain numbers and not an IntEnum: they are compared for
every record, and a peer may send ones that nobody defined.
"""

# Compiled.

import struct
from typing import Final

VERSION: Final = 1
HEADER_BYTES: Final = 8
MAX_CONTENT: Final = 0xFFFF

# Types of records (8)
BEGIN_REQUEST: Final = 1
ABORT_REQUEST: Final = 2
END_REQUEST: Final = 3
PARAMS: Final = 4
STDIN: Final = 5
STDOUT: Final = 6
STDERR: Final = 7
DATA: Final = 8
GET_VALUES: Final = 9
GET_VALUES_RESULT: Final = 10
UNKNOWN_TYPE: Final = 11

# Roles and flags of BEGIN_REQUEST (5.1)
RESPONDER: Final = 1
AUTHORIZER: Final = 2
FILTER: Final = 3
KEEP_CONN: Final = 1
BEGIN_BYTES: Final = 8

# protocolStatus of END_REQUEST (5.5)
REQUEST_COMPLETE: Final = 0
OVERLOADED: Final = 2
UNKNOWN_ROLE: Final = 3

CHUNK: Final = 32 * 1024
"""Content of a record of a long stream: lighttpd handles only records that it has
whole, so that small ones reach the browser sooner; a multiple of eight needs no
padding."""

_HEADER: Final = struct.Struct(">BBHHBx")
_ZEROS: Final = bytes(8)


def record(kind: int, request_id: int, content: bytes = b"") -> bytes:
    """Return one record. More content than MAX_CONTENT is our bug: ValueError."""
    size = len(content)
    if size > MAX_CONTENT:
        raise ValueError(f"record content of {size} bytes; the limit is {MAX_CONTENT}")
    padding = -size & 7
    return b"".join(
        (header(kind, request_id, size, padding), content, _ZEROS[:padding])
    )


def header(kind: int, request_id: int, size: int, padding: int) -> bytes:
    """Return the header of a record."""
    return _HEADER.pack(VERSION, kind, request_id, size, padding)


def stream(kind: int, request_id: int, data: bytes) -> bytes:
    """Return a stream's bytes in records of at most CHUNK; nothing when empty.

    An empty record would end the stream (3.3): `record` makes that one.
    """
    size = len(data)
    if size <= CHUNK:
        return record(kind, request_id, data) if size else b""
    parts: list[bytes | memoryview] = []
    _add_records(parts, kind, request_id, data, 0)
    return b"".join(parts)


def _add_records(
    parts: list[bytes | memoryview], kind: int, request_id: int, data: bytes, start: int
) -> None:
    """Add the records of data from a start on, without a copy of it."""
    size = len(data)
    view = memoryview(data)
    full = header(kind, request_id, CHUNK, 0)
    while size - start > CHUNK:
        parts.append(full)
        parts.append(view[start : start + CHUNK])
        start += CHUNK
    padding = start - size & 7
    parts.append(header(kind, request_id, size - start, padding))
    parts.append(view[start:])
    parts.append(_ZEROS[:padding])


def end(request_id: int, app_status: int, protocol_status: int) -> bytes:
    """Return END_REQUEST (5.5); `app_status` is taken as 32 bits."""
    content = (app_status & 0xFFFFFFFF).to_bytes(4, "big") + bytes(
        (protocol_status, 0, 0, 0)
    )
    return record(END_REQUEST, request_id, content)


def unknown_type(kind: int) -> bytes:
    """Return UNKNOWN_TYPE (4.2), the answer to a management record nobody knows."""
    return record(UNKNOWN_TYPE, 0, bytes((kind, 0, 0, 0, 0, 0, 0, 0)))


def reply(request_id: int, head: bytes, body: bytes) -> bytes:
    """Return a whole answer, not empty, its head of less than CHUNK bytes.

    The head travels in the first record of STDOUT with the start of the body.
    """
    size = len(head) + len(body)
    if size > CHUNK:
        start = CHUNK - len(head)
        full = header(STDOUT, request_id, CHUNK, 0)
        parts: list[bytes | memoryview] = [full, head, memoryview(body)[:start]]
        _add_records(parts, STDOUT, request_id, body, start)
        parts.append(last(request_id))
        return b"".join(parts)
    padding = -size & 7
    return b"".join(
        (
            _HEADER.pack(VERSION, STDOUT, request_id, size, padding),
            head,
            body,
            _ZEROS[:padding],
            _LAST_OF_1 if request_id == 1 else last(request_id),
        )
    )


def last(request_id: int) -> bytes:
    """Return the end of an answer: STDOUT's one empty record (3.3), END_REQUEST."""
    return record(STDOUT, request_id) + end(request_id, 0, REQUEST_COMPLETE)


_LAST_OF_1: Final = last(1)

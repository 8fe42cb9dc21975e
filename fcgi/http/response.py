"""The head of an answer over HTTP, made of what a web server would get.

`fcgi.cgi.reply` has checked the block and completed it. What it cannot know is added
here: the status line, how the client finds the end of the body (RFC 9112, 6), if the
connection goes on, the date. What a script says about the connection is dropped
(RFC 9110, 7.6.1): it is not the script's.
"""

from http import HTTPStatus
from typing import Final

NO_BODY: Final = 1  # of HEAD, 204 and 304, whatever the header says
LENGTH: Final = 2  # as long as Content-Length says
CHUNKED: Final = 3
UNTIL_CLOSE: Final = 4  # for HTTP/1.0, which knows no chunks

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"

_BODILESS: Final = frozenset({b"204", b"304"})
_PHRASES: Final = {b"%d" % s.value: s.phrase.encode() for s in HTTPStatus}
_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)


def opening(
    block: bytes, method: bytes, *, is_old: bool, keep: bool, date: bytes
) -> tuple[bytes, int]:
    """Return the head with its blank line, and how the body ends.

    block: CGI header lines and a blank line. is_old: the client speaks HTTP/1.0. keep:
    the connection goes on. date: now, for a reply that does not say its own.
    """
    status = b"200 OK"
    has_length = has_date = False
    lines: list[bytes] = []
    for line in block.split(b"\r\n"):
        name, _, value = line.partition(b":")
        name = name.lower()
        if name == b"status":
            status = value.strip()
        elif name and name not in _HOP_BY_HOP:
            lines.append(line)
            has_length = has_length or name == b"content-length"
            has_date = has_date or name == b"date"
    code, phrase = status[:3], status[3:].strip()
    if not has_date:
        lines.append(b"Date: " + date)
    is_bodiless = code in _BODILESS
    framing = LENGTH
    if not has_length and not is_bodiless:
        framing = UNTIL_CLOSE if is_old else CHUNKED
        if not is_old:
            lines.append(b"Transfer-Encoding: chunked")
    if is_bodiless or method == b"HEAD":
        framing = NO_BODY
    if not keep:
        lines.append(b"Connection: close")
    first = b"HTTP/1.1 %b %b\r\n" % (code, phrase or _PHRASES.get(code, b""))
    return first + b"\r\n".join(lines) + b"\r\n\r\n", framing


def piece(data: bytes, framing: int) -> bytes:
    """Return a piece of the body as it is sent."""
    if framing == CHUNKED and data:
        return b"%x\r\n%b\r\n" % (len(data), data)
    return b"" if framing == NO_BODY else data


def last(framing: int) -> bytes:
    """Return what ends the body."""
    return LAST_CHUNK if framing == CHUNKED else b""

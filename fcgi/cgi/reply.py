"""The header block of a reply, checked as hostile input and completed.

A VM host runs code that nobody reviewed, so its header lines may hold anything. What
leaves here is a CGI response (RFC 3875, 6) that every web server understands: tokens
as names, no control characters but tabs, one `Status`, a Content-Length that is true,
no body where HTTP has none (HAProxy answers 502 to a 204 with a body, nginx drops the
kept connection). Lines that make a web server send files or other locations in the
script's place are dropped from untrusted replies, and Transfer-Encoding from all.
"""

# Compiled.

import re
from typing import Final

from luafarm.errors import ProtocolError

_BLOCK: Final = re.compile(
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\0-\x08\n-\x1f\x7f]*(?:\r\n(?=[^\r\n])|\Z))+"
)
"""Header lines with CRLF between them, none behind the last."""

_SPECIAL: Final = re.compile(
    rb"(?:\A|\n)(Status|Location|Content-Length|Transfer-Encoding"
    rb"|X-Accel-Redirect|X-Sendfile(?:2|-Temporary)?"
    rb"|X-Lighttpd-Send-(?:Temp)?File):[ \t]*([^\r\n]*)",
    re.IGNORECASE,
)
"""Lines with a meaning of their own here."""

_STATUS: Final = re.compile(rb"[2-9][0-9][0-9](?:[ \t]|\Z)")
_LONGEST_LENGTH: Final = 18  # digits of a Content-Length that anybody can mean
_REMEMBERED: Final = 256
_SHORT: Final = 512  # bytes; with _REMEMBERED it bounds the memory

_BODILESS: Final = (204, 205, 304)


class BadHeaderError(ProtocolError):
    """A reply's header is none: answer 502 in its place."""


class Head:
    """A checked header block."""

    def __init__(self, lines: bytes, status: int, content_length: int) -> None:
        #: the lines, each ended by CRLF, without Content-Length
        self.lines = lines
        #: the reply's status: the script's, 302 for a Location alone, else 200
        self.status = status
        #: the script's Content-Length, -1 when it set none
        self.content_length = content_length


class Heads:
    """Checks header blocks, and remembers short ones: a script's rarely differ."""

    def __init__(self, limit: int) -> None:
        #: bytes of a block that the web server's buffer must hold, with eight bytes of
        #: record header and the blank line (nginx: `fastcgi_buffer_size`)
        self._limit = limit
        #: checked blocks by what came, no more than _REMEMBERED, each of few bytes
        self._trusted: dict[bytes, Head] = {}
        self._untrusted: dict[bytes, Head] = {}

    def parse(self, head: bytes, is_trusted: bool = False) -> Head:
        """Return the header block of a reply. Raises BadHeaderError.

        head: lines joined by CRLF or LF, without the blank line.
        """
        known = self._trusted if is_trusted else self._untrusted
        if len(head) > self._limit:  # first: looking it up takes reading it
            raise BadHeaderError(
                f"reply header of {len(head)} bytes; the limit is {self._limit}"
            )
        found = known.get(head)
        if found is not None:
            return found
        parsed = parse(head, is_trusted)
        if len(head) <= _SHORT:
            if len(known) >= _REMEMBERED:
                known.clear()
            known[head] = parsed
        return parsed


def parse(head: bytes, is_trusted: bool) -> Head:
    """Return a header block of any size. Raises BadHeaderError."""
    if _BLOCK.fullmatch(head) is None:
        head = _with_crlf(head)
    special = _SPECIAL.findall(head)
    if len(special) == 1 and head.startswith(b"Status: "):
        return Head(head + b"\r\n", _status(special[0][1]), -1)
    return _parse_special(head, special, is_trusted)


def whole(head: Head, body: bytes, method: bytes) -> tuple[bytes, bytes]:
    """Return header with blank line, and body, of a reply that is all there.

    Content-Length is the body's, whatever the script said: it is the one mark by which
    every web server notices a truncated reply.
    """
    status = head.status
    if status == 204:
        return head.lines + b"\r\n", b""
    if status == 205:  # RFC 9110, 15.3.6
        return _closed(head.lines, 0), b""
    if method == b"HEAD" or status == 304:
        length = head.content_length
        if length < 0 and status != 304:
            length = len(body)
        return _closed(head.lines, length), b""
    return b"%bContent-Length: %d\r\n\r\n" % (head.lines, len(body)), body


def opening(head: Head, method: bytes) -> tuple[bytes, bool]:
    """Return header with blank line of a reply that streams, and if it has a body.

    Without a body, what follows is dropped. When `head.content_length` is not -1, drop
    what goes beyond it, and break the connection of a reply that ends before it.
    """
    if head.status == 204:
        return head.lines + b"\r\n", False
    has_body = method != b"HEAD" and head.status not in _BODILESS
    length = 0 if head.status == 205 else head.content_length
    return _closed(head.lines, length), has_body


class Stream:
    """A reply in parts: its header once, its body no longer than the header said."""

    def __init__(self, heads: Heads, method: bytes, is_trusted: bool) -> None:
        self._heads = heads
        self._method = method
        self._is_trusted = is_trusted
        self.has_begun = False
        self._has_body = True  # not of HEAD, 204, 205, 304
        self._left = -1  # bytes still due by Content-Length; -1: it has none

    def opening(self, head: bytes) -> bytes:
        """Return the header with blank line at the first call, then b"".

        Raises BadHeaderError.
        """
        if self.has_begun:
            return b""
        parsed = self._heads.parse(head, self._is_trusted)
        lines, self._has_body = opening(parsed, self._method)
        self._left = parsed.content_length
        self.has_begun = True
        return lines

    def body(self, chunk: bytes) -> bytes:
        """Return what of a chunk belongs to the body."""
        if not self._has_body:
            return b""
        if self._left >= 0:
            chunk = chunk[: self._left]
            self._left -= len(chunk)
        return chunk

    def is_short(self) -> bool:
        """Whether the body ended before its Content-Length."""
        return self._has_body and self._left > 0


def _closed(lines: bytes, length: int) -> bytes:
    if length < 0:
        return lines + b"\r\n"
    return b"%bContent-Length: %d\r\n\r\n" % (lines, length)


def _with_crlf(head: bytes) -> bytes:
    """Return the block with CRLF for LF, as raw header strings of scripts have them."""
    text = head.replace(b"\r\n", b"\n").rstrip(b"\n").replace(b"\n", b"\r\n")
    if _BLOCK.fullmatch(text) is None:
        if not text:
            raise BadHeaderError("reply without a header line")
        raise BadHeaderError(f"reply with a malformed header: {_shown(head)}")
    return text


def _parse_special(
    head: bytes, special: list[tuple[bytes, bytes]], is_trusted: bool
) -> Head:
    status: bytes | None = None
    length = -1
    has_location = False
    dropped: set[bytes] = set()
    for found, value in special:
        name = found.lower()
        if name == b"status":
            if status is not None:
                raise BadHeaderError("reply with two Status lines")
            status = value
        elif name == b"location":
            has_location = True
        elif name == b"content-length":
            length = _length(value.strip(), length)
            dropped.add(name)
        elif name == b"transfer-encoding" or not is_trusted:
            dropped.add(name)
    lines = head.split(b"\r\n")
    if dropped:
        lines = [line for line in lines if _name(line) not in dropped]
    if status is not None:
        code = _status(status)
    elif has_location:
        code = 302
        lines.insert(0, b"Status: 302 Found")
    else:
        code = 200
    if not lines:
        # CGI wants at least one line (RFC 3875, 6.2)
        lines = [b"Status: 200 OK"]
    return Head(b"\r\n".join(lines) + b"\r\n", code, length)


def _name(line: bytes) -> bytes:
    return line[: line.index(b":")].lower()


def _status(value: bytes) -> int:
    if _STATUS.match(value) is None:
        raise BadHeaderError(f"reply with status {_shown(value)}")
    return int(value[:3])


def _length(value: bytes, before: int) -> int:
    if not value.isdigit() or len(value) > _LONGEST_LENGTH:
        raise BadHeaderError(f"reply with Content-Length {_shown(value)}")
    length = int(value)
    if before not in {-1, length}:
        raise BadHeaderError(f"reply with two lengths, {before} and {length}")
    return length


def _shown(value: bytes) -> str:
    return repr(value[:60])[1:]

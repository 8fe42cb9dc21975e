"""A request of HTTP as it comes in, and the events that tell of it.

h11 reads the grammar of heads and bodies (RFC 9112). What a server has to refuse beyond
it stands here: a length that others may read in another way, a host that is none, a
version of another kind, a target that names nothing.
"""

import re
from typing import Final

import h11

from fcgi.arrival import Limits
from fcgi.cgi.refusal import Refusal
from fcgi.http import target

RECEIVING: Final = 0
RUNNING: Final = 1  # arrived whole; an answer is due
ENDED: Final = 2  # answered, cut or lost

MAX_FIELDS: Final = 1000
"""Header lines. Each costs h11 a microsecond, however short it is; browsers send 20."""

_FOLDED: Final = re.compile(rb"\n[ \t]")
_NO_TEXT: Final = (b"\0", b"\v", b"\f")  # RFC 9110, 5.5
_LONGEST_LENGTH: Final = 18  # digits of a Content-Length: beyond any max_body


class Request:
    """One request of a client.

    Read it once it came as an event. `gather`, `stage` and the reply's framing are the
    connection's own.
    """

    def __init__(self) -> None:
        self.stage = RECEIVING
        #: why it must be answered without a script; None: run it
        self.refusal: Refusal | None = None
        self.method = b""  # b"": its head is none
        #: where it goes, once its head is read and not refused
        self.target = target.Target(b"", b"", b"", None)
        self.version = b"1.1"
        #: header fields in their order, names in lower case
        self.fields: list[tuple[bytes, bytes]] = []
        #: the client lets the connection go on after this (9.3)
        self.keep = True
        self.has_body = False  # by its head
        self.is_chunked = False  # the body, if it has one
        #: the body; b"" when spooled
        self.body = b""
        self.body_bytes = 0
        #: all of the body came in `Chunk` events before this one
        self.body_spooled = False

        self.gather = bytearray()  # of a body that is not whole: not handed out
        self.has_begun = False  # the answer
        self.framing = 0  # of an answer in parts

    @property
    def is_old(self) -> bool:
        """Whether it is HTTP/1.0: no chunks, no kept connection, no 100 (Continue)."""
        return self.version < b"1.1"

    def refuse(self, refusal: Refusal) -> None:
        """Answer it with this, and close the connection."""
        if self.refusal is None:
            self.refusal = refusal
        self.keep = self.has_body = False
        self.gather.clear()

    def is_seen(self) -> bool:
        """Whether an event has named it, so that its loss is one."""
        return self.stage == RUNNING or self.body_spooled

    def take_head(self, head: h11.Request, limits: Limits) -> None:
        """Take what h11 has read; refuse what a server must."""
        self.method = head.method
        self.version = head.http_version
        self.fields = [
            (name.lower(), value) for name, value in head.headers.raw_items()
        ]
        refusal = self._framing(limits) or self._place(head.target)
        if refusal is not None:
            self.refuse(refusal)

    def add(self, data: bytes, limits: Limits, events: list["Event"]) -> None:
        """Take a piece of the body."""
        self.body_bytes += len(data)
        if self.body_bytes > limits.max_body:
            self.refuse(Refusal.BODY_TOO_LARGE)
            return
        self.gather += data
        if len(self.gather) > limits.inline_body:
            self.body_spooled = True
            self._hand_out(events)

    def end_body(self, events: list["Event"]) -> None:
        """Take the end of the body."""
        if self.body_spooled:
            if self.gather:
                self._hand_out(events)
        else:
            self.body = bytes(self.gather)
            self.gather.clear()

    def _hand_out(self, events: list["Event"]) -> None:
        events.append(Chunk(self, bytes(self.gather)))
        self.gather.clear()

    def _framing(self, limits: Limits) -> Refusal | None:
        """Find where the request ends, and if the connection goes on behind it."""
        if not self.version.startswith(b"1."):
            return Refusal.VERSION_UNKNOWN  # RFC 9110, 15.6.6
        lengths = [value for name, value in self.fields if name == b"content-length"]
        codings = [value for name, value in self.fields if name == b"transfer-encoding"]
        # 6.3: both may be an attempt to smuggle a request; 6.1: HTTP/1.0 has no codings
        if codings and (lengths or self.is_old):
            return Refusal.MALFORMED
        self.keep = not self.is_old and b"close" not in self._connection()
        self.has_body = self.is_chunked = bool(codings)
        if lengths:
            digits = lengths[0].lstrip(b"0")  # h11 has seen to it that these are digits
            self.has_body = bool(digits)
            if len(digits) > _LONGEST_LENGTH or int(digits or b"0") > limits.max_body:
                return Refusal.BODY_TOO_LARGE
        return None

    def _place(self, asked: bytes) -> Refusal | None:
        """Find what is asked for, and of which host."""
        hosts = [value for name, value in self.fields if name == b"host"]
        # 3.2: one, and one that is a host; h11 has refused a second one
        if not (hosts or self.is_old) or not all(map(target.is_host, hosts)):
            return Refusal.MALFORMED
        if self.method == b"CONNECT":
            return Refusal.NOT_IMPLEMENTED  # it asks for a proxy
        found = target.read(asked)
        if found is None:
            return Refusal.BAD_PATH
        self.target = found
        if found.authority is not None:  # 3.2.2: instead of what Host says
            self.fields = [pair for pair in self.fields if pair[0] != b"host"]
            self.fields.append((b"host", found.authority))
        return None

    def _connection(self) -> set[bytes]:
        values = [value for name, value in self.fields if name == b"connection"]
        return {option.strip().lower() for option in b",".join(values).split(b",")}


def fault(head: bytes) -> Refusal | None:
    """Return why a head, up to its blank line, is refused before it is read."""
    if head.count(b"\n") > MAX_FIELDS:
        return Refusal.PARAMS_TOO_LARGE
    if _FOLDED.search(head) is not None:
        return Refusal.MALFORMED  # 5.2: a value that goes on in a further line
    # h11 refuses these as well, in a time that grows with the square of blanks before
    if any(byte in head for byte in _NO_TEXT):
        return Refusal.MALFORMED
    if head.count(b"\r") != head.count(b"\r\n"):
        return Refusal.MALFORMED  # 2.2
    return None


def of_error(error: h11.RemoteProtocolError) -> Refusal:
    """Return how it is answered that h11 cannot read something.

    h11 raises its errors from a method of theirs: each holds itself by its traceback,
    and with that all that was read. So the traceback is dropped.
    """
    error.__traceback__ = None
    match error.error_status_hint:
        case 431:
            return Refusal.PARAMS_TOO_LARGE
        case 501:
            return Refusal.NOT_IMPLEMENTED  # a transfer coding (6.1)
        case _:
            return Refusal.MALFORMED


class Chunk:
    """The next piece of a body that is too long to be kept in memory: spool it."""

    def __init__(self, request: Request, data: bytes) -> None:
        self.request = request
        self.data = data


class Aborted:
    """Nobody waits for this request's answer any more: drop or cancel it."""

    def __init__(self, request: Request) -> None:
        self.request = request


Event = Request | Chunk | Aborted
"""A Request in a list of events has arrived whole, or is refused: answer it."""

"""A request as its streams come in, and the events that tell of it.

PARAMS, then STDIN, then DATA for a Filter; an Authorizer has PARAMS only (FastCGI 1.0,
6). `fcgi.fastcgi.connection` feeds the records; what a limit forbids is read and
dropped, so that the connection stays in step and the answer comes when the web server
awaits it.
"""

# Compiled.

from typing import Final

from fcgi.arrival import Limits, refusal_of
from fcgi.cgi import params
from fcgi.cgi.refusal import Refusal
from fcgi.fastcgi import records

RECEIVING: Final = 0
RUNNING: Final = 1  # arrived whole; an answer is due
ENDED: Final = 2  # answered, aborted or lost: its id is inactive

PARAMS_OPEN: Final = 1
STDIN_OPEN: Final = 2
DATA_OPEN: Final = 4

# The first ten bytes of a Responder's BEGIN_REQUEST with id 1, the first four of its
# PARAMS, and the ends of PARAMS and STDIN. nginx, Apache and lighttpd always use id 1.
_BEGIN_OF_1: Final = b"\1\1\0\1\0\10\0\0\0\1"
_PARAMS_OF_1: Final = b"\1\4\0\1"
_ENDS_OF_1: Final = b"\1\4\0\1\0\0\0\0\1\5\0\1\0\0\0\0"

_LONGEST_LENGTH: Final = 18  # digits of a CONTENT_LENGTH: beyond any max_body


class Request:
    """One request of a web server.

    Read it once it came as an event. `open`, `gather`, `params_bytes`, `touched` and
    the reply's flags are the connection's own.
    """

    def __init__(self, request_id: int, role: int, keep: bool, now: float) -> None:
        self.id = request_id
        self.role = role
        self.keep = keep
        self.stage = RECEIVING
        #: why it must be answered without a script; None: run it
        self.refusal: Refusal | None = None
        #: name-value pairs as they came, checked; b"" when refused
        self.params = b""
        self.script_filename = b""
        self.method = b""
        #: CONTENT_LENGTH, -1 when absent, empty or "-1" (then STDIN's end decides)
        self.content_length = -1
        #: STDIN cut to CONTENT_LENGTH; b"" when spooled
        self.body = b""
        #: bytes of STDIN up to CONTENT_LENGTH; fewer than it: not complete
        self.body_bytes = 0
        #: DATA of a Filter; b"" when data_spooled
        self.data = b""
        self.data_bytes = 0
        #: all of STDIN (and DATA) came in `Chunk` events before this one
        self.body_spooled = False
        self.data_spooled = False
        #: as many bytes came as CONTENT_LENGTH (and FCGI_DATA_LENGTH) say
        self.complete = True

        #: streams whose end is not in yet; none: RUNNING
        self.open = PARAMS_OPEN | STDIN_OPEN
        if role == records.FILTER:
            self.open |= DATA_OPEN
        self.params_bytes = 0
        #: a stream that came in more than one record; None else
        self.gather: bytearray | None = None
        self.touched = now
        self.has_stdout = False
        self.has_stderr = False

    def refuse(self, refusal: Refusal) -> None:
        """Answer it with this; what it still sends is read and dropped."""
        if self.refusal is None:
            self.refusal = refusal
        self.params = self.body = self.data = b""
        self.gather = None

    def is_seen(self) -> bool:
        """Whether an event has named it, so that its abort is one."""
        return self.stage == RUNNING or self.body_spooled or self.data_spooled

    def add_params(self, data: bytes, start: int, end: int, limits: Limits) -> None:
        """Take a record of PARAMS; an empty one ends the stream (3.3)."""
        if not self.open & PARAMS_OPEN:
            return
        if start == end:
            self.end_params(limits)
            return
        self.params_bytes += end - start
        if self.params_bytes > limits.max_params:
            self.refuse(Refusal.PARAMS_TOO_LARGE)
        elif self.refusal is not None:
            return
        elif self.gather is not None:
            self.gather += data[start:end]
        elif self.params:
            self.gather = bytearray(self.params) + data[start:end]
        else:
            self.params = data[start:end]

    def end_params(self, limits: Limits) -> None:
        """Take the end of PARAMS: what routes the request is known, or refused."""
        self.open &= ~PARAMS_OPEN
        if self.gather is not None:
            self.params = bytes(self.gather)
            self.gather = None
        if self.role == records.AUTHORIZER:
            self.open = 0  # it gets no STDIN (6.3)
        if self.refusal is not None:
            return
        try:
            self.script_filename, self.method, length = params.route(
                self.params, limits.max_param
            )
        except params.PairsError as error:
            self.refuse(refusal_of(error))
            return
        # nginx says nothing and Caddy -1 when they do not know the length
        if not length or length == b"-1" or self.role == records.AUTHORIZER:
            return
        if not length.isdigit():
            self.refuse(Refusal.BAD_LENGTH)
        elif len(length) > _LONGEST_LENGTH or int(length) > limits.max_body:
            self.refuse(Refusal.BODY_TOO_LARGE)
        else:
            self.content_length = int(length)

    def add_stdin(
        self, data: bytes, start: int, end: int, limits: Limits, events: list["Event"]
    ) -> None:
        """Take a record of STDIN; an empty one ends the stream."""
        if not self.open & STDIN_OPEN:
            return
        if self.open & PARAMS_OPEN:
            self.refuse(Refusal.MALFORMED)  # 6.2: PARAMS, then STDIN
        if start == end:
            self.open &= ~STDIN_OPEN
            self._check_length()
            self.body = self._finish(records.STDIN, self.body_spooled, events)
        elif self.refusal is None:
            if self.content_length >= 0:
                # 6.2: it receives at most CONTENT_LENGTH bytes
                end = min(end, start + self.content_length - self.body_bytes)
            self.body_bytes += end - start
            if self._collect(records.STDIN, data[start:end], limits, events):
                self.body_spooled = True

    def add_data(
        self, data: bytes, start: int, end: int, limits: Limits, events: list["Event"]
    ) -> None:
        """Take a record of DATA; only a Filter has that stream open."""
        if not self.open & DATA_OPEN:
            return
        if self.open & STDIN_OPEN:
            self.refuse(Refusal.MALFORMED)  # 6.4: STDIN, then DATA
        if start == end:
            self.open &= ~DATA_OPEN
            self.data = self._finish(records.DATA, self.data_spooled, events)
            said = params.find(self.params, b"FCGI_DATA_LENGTH")
            if said and said != str(self.data_bytes).encode():
                self.complete = False
        elif self.refusal is None:
            self.data_bytes += end - start
            if self._collect(records.DATA, data[start:end], limits, events):
                self.data_spooled = True

    def _check_length(self) -> None:
        """Refuse a body that was cut short (6.2): no script takes it for a whole one.

        nginx says the length of the first request, and sends no body, for what it asks
        on its own: error pages and `auth_request`, always by GET.
        """
        if self.content_length <= self.body_bytes:
            return
        self.complete = False
        if self.body_bytes or self.method not in {b"GET", b"HEAD"}:
            self.refuse(Refusal.BODY_CUT)

    def _collect(
        self, stream: int, piece: bytes, limits: Limits, events: list["Event"]
    ) -> bool:
        """Keep a piece; True: the stream is spooled, `Chunk` events carry it."""
        if self.body_bytes + self.data_bytes > limits.max_body:
            self.refuse(Refusal.BODY_TOO_LARGE)
            return False
        if self.gather is None:
            self.gather = bytearray(piece)
        else:
            self.gather += piece
        if len(self.gather) <= limits.inline_body:
            return False
        events.append(Chunk(self, stream, bytes(self.gather)))
        self.gather.clear()
        return True

    def _finish(self, stream: int, is_spooled: bool, events: list["Event"]) -> bytes:
        """Return a stream that was kept; of a spooled one, send the last chunk."""
        if self.gather is None:
            return b""
        rest = bytes(self.gather)
        self.gather = None
        if not is_spooled:
            return rest
        if rest:
            events.append(Chunk(self, stream, rest))
        return b""


def whole_get(data: bytes, limits: Limits, now: float) -> Request | None:
    """Return the request that these bytes are all of, as nginx sends a GET, with id 1.

    What the records one by one lead to, at half the price; None: take them so.
    """
    if not (data.startswith(_BEGIN_OF_1) and data.endswith(_ENDS_OF_1)):
        return None
    size = data[20] << 8 | data[21]
    stop = 24 + size
    if (
        stop + data[22] + len(_ENDS_OF_1) != len(data)
        or data[16:20] != _PARAMS_OF_1
        or not 0 < size <= limits.max_params
    ):
        return None
    request = Request(1, records.RESPONDER, bool(data[10] & records.KEEP_CONN), now)
    request.params = data[24:stop]
    request.end_params(limits)
    request.open = 0
    if request.content_length > 0:
        request._check_length()
    request.stage = RUNNING
    return request


class Chunk:
    """The next piece of a body that is too long to be kept in memory: spool it."""

    def __init__(self, request: Request, stream: int, data: bytes) -> None:
        self.request = request
        self.stream = stream  # records.STDIN or records.DATA
        self.data = data


class Aborted:
    """Nobody waits for this request's answer any more: drop or cancel it."""

    def __init__(self, request: Request) -> None:
        self.request = request


Event = Request | Chunk | Aborted
"""A Request in a list of events has arrived whole and wants its answer."""

"""One FastCGI connection as a pure machine: bytes in, requests out, replies to bytes.

The loop calls, in this order: `receive(data, now)` and acts on the events, writes
`data_to_send()`, and looks at `closing`; when `has_more` is true it does the same again
in its next pass, with no data, before it reads on. It writes what `reply` (or `stdout`,
`stderr`, `end`) returns and looks at `closing` again. `expired(now)` once a second,
`eof(now)` when the peer will send no more, `lost()` when the connection is no more.
Nothing here raises for what a peer does: `error` says why a connection is closed.

The rules (FastCGI 1.0; numbers of its sections stand where they are obeyed):

- A request is reported when all of it is in, refused ones too: an END_REQUEST before
  STDIN's end hangs HAProxy, and closing early costs the answer by RST.
- Every begun id is ended exactly once; then it is inactive, and records for it are
  ignored (3.3).
- The connection closes when no request is left and one of them had no KEEP_CONN, so
  that such a request never takes others with it.
- Streams that a peer need not have finished (abort, unknown role, authorizer) make
  closing linger: half closed, read on for LINGER_S.

The loop must stop reading while what it wrote is not taken: each management record of
eight bytes is answered with up to 80.
"""

# Compiled.

from typing import Final

from fcgi.arrival import Limits
from fcgi.cgi.refusal import Refusal
from fcgi.closing import CLOSE, HALF_CLOSE_S, LINGER, LINGER_S, OPEN
from fcgi.fastcgi import management, records
from fcgi.fastcgi.reader import Reader
from fcgi.fastcgi.request import (
    ENDED,
    PARAMS_OPEN,
    RECEIVING,
    RUNNING,
    Aborted,
    Event,
    Request,
    whole_get,
)
from luafarm.errors import ProtocolError

BROKEN: Final = bytes(8)
"""A record of version 0, which is none: unbuffered nginx takes the mere end of the
connection for the end of the reply, or waits for the rest of an announced length."""

MANY: Final = 1 << 20
"""Records in one call where nobody else waits."""


class Connection:
    """One connection of a web server."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        #: all and only begun ids that are not ended, each in stage RECEIVING or RUNNING
        self._requests: dict[int, Request] = {}
        self._reader = Reader(now)
        #: management replies and ENDs that `data_to_send` has not handed over
        self._out = bytearray()
        #: no further request is wanted: the connection closes when it is empty
        self._is_last = False
        #: the peer may be in the middle of a stream that nobody waits for
        self._is_cut = False
        #: the peer sends no more
        self._is_half_closed = False
        #: seconds: last byte or last seen busy; when closing or half closed: since when
        self._touched = now
        self.closing: int = OPEN
        #: what the loop sends right before it closes
        self.last_words = b""
        self.error: ProtocolError | None = None

    # ---- what arrives --------------------------------------------------------------

    def receive(self, data: bytes, now: float, most: int = MANY) -> list[Event]:
        """Take bytes, cut anywhere; return what happened, in order.

        most: records that are looked at; `has_more` tells if there are others.
        """
        events: list[Event] = []
        reader = self._reader
        if self.closing != OPEN or self._is_half_closed:
            reader.forget()
            return events
        self._touched = now
        if not self._requests and reader.is_empty():
            whole = whole_get(data, self._limits, now)
            if whole is not None:
                self._requests[1] = whole
                events.append(whole)
                return events
        reader.feed(data, now)
        left = most
        while left and reader.next():
            self._record(now, events)
            if self.closing != OPEN:
                reader.forget()
                return events
            left -= 1
        if not left:
            reader.pause()
        if reader.fault:
            self._fail(reader.fault, events)
        return events

    @property
    def has_more(self) -> bool:
        """Some of what came is not looked at yet."""
        return self._reader.has_more

    def active(self) -> int:
        """Return how many requests have begun and are not ended."""
        return len(self._requests)

    def is_idle(self) -> bool:
        """Return whether who knows nothing of the past could read on here."""
        return self._reader.is_empty() and not (
            self._requests
            or self._out
            or self.closing
            or self._is_last
            or self._is_half_closed
        )

    def data_to_send(self) -> bytes:
        """Return what the machine itself has to say; write it before any reply."""
        if not self._out:
            return b""
        out = bytes(self._out)
        self._out.clear()
        return out

    def eof(self, now: float) -> list[Event]:
        """Take note that the peer will send no more. What is in is still answered.

        Where the loop can see that the peer closed both halves (POLLHUP on a UNIX
        socket), it calls `lost` instead.
        """
        events: list[Event] = []
        if self.closing:
            self.closing = CLOSE
            return events
        self._is_half_closed = self._is_last = True
        self._touched = now
        self._reader.forget()
        for request in list(self._requests.values()):
            if request.stage == RECEIVING:
                self._drop(request, events)
        self._settle()
        return events

    def lost(self) -> list[Event]:
        """Take note that the connection is no more. Returns what was running on it."""
        events: list[Event] = []
        self._close(events)
        return events

    def drain(self) -> None:
        """Let no kept connection stay: close it when its last request is answered."""
        self._is_last = True
        self._settle()

    def expired(self, now: float, is_paused: bool = False) -> list[Event]:
        """Act on what took too long. Call it about once a second.

        `is_paused`: the loop does not read, so what is half sent is not late.
        """
        events: list[Event] = []
        waited = now - self._touched
        if self.closing:
            if waited >= LINGER_S:
                self.closing = CLOSE
        elif self._is_half_closed:
            if waited >= HALF_CLOSE_S:
                self._close(events)
        elif is_paused:
            self._touched = self._reader.since = now
            for request in self._requests.values():
                request.touched = now
        elif self._reader.is_late(now - self._limits.receive_s):
            self._fail(f"record not whole after {self._limits.receive_s} s", events)
        elif self._requests:
            self._give_up_late(now, events)
        elif waited >= self._limits.idle_s and self._reader.is_empty():
            self.closing = CLOSE
        return events

    def _give_up_late(self, now: float, events: list[Event]) -> None:
        # busy: idleness counts from the last look that found a request
        self._touched = now
        due = now - self._limits.receive_s
        for request in self._requests.values():
            if request.stage == RECEIVING and request.touched <= due:
                request.refuse(Refusal.RECEIVE_TIMEOUT)
                request.open = 0
                self._is_cut = self._is_last = True
                self._arrive(request, events)

    # ---- what is answered ----------------------------------------------------------

    def reply(
        self, request: Request, head: bytes, body: bytes, stderr: bytes = b""
    ) -> bytes:
        """Return the bytes of a whole answer, b"" when nobody waits for it.

        `head` ends with the blank line. It travels in the first record with the start
        of the body, and STDERR after it: nginx wants its header within one buffer.
        """
        if request.stage != RUNNING:
            return b""
        if stderr or not (head or body) or len(head) >= records.CHUNK:
            return self.stdout(request, head + body) + self.end(request, stderr)
        out = records.reply(request.id, head, body)
        self._end(request)
        return out

    def stdout(self, request: Request, data: bytes) -> bytes:
        """Return a piece of an answer; the first one holds the whole header."""
        if request.stage != RUNNING or not data:
            return b""
        request.has_stdout = True
        return records.stream(records.STDOUT, request.id, data)

    def stderr(self, request: Request, data: bytes) -> bytes:
        """Return text for the web server's error log. Not before the header."""
        if request.stage != RUNNING or not data:
            return b""
        request.has_stderr = True
        return records.stream(records.STDERR, request.id, data)

    def end(self, request: Request, stderr: bytes = b"") -> bytes:
        """Return the end of an answer: the id is inactive from here on."""
        if request.stage != RUNNING:
            return b""
        out = self.stderr(request, stderr) + self._tail(request)
        self._end(request)
        return out

    def abandon(self, request: Request) -> None:
        """Leave an answer without its end, the one sign that it is cut short.

        The connection closes once its other requests are answered; `last_words` come
        right before.
        """
        if request.stage != RUNNING:
            return
        self._is_last = True
        self.last_words = BROKEN
        self._end(request)

    # ---- records -------------------------------------------------------------------

    def _record(self, now: float, events: list[Event]) -> None:
        """Take the record that was found."""
        reader = self._reader
        kind, data, start, end = reader.kind, reader.data, reader.start, reader.end
        if kind == records.BEGIN_REQUEST:
            self._begin(reader.id, data[start:end], now, events)
            return
        request = self._requests.get(reader.id)
        if request is not None:
            if not request.open & PARAMS_OPEN:
                request.touched = now  # PARAMS are small: timed from BEGIN
            if kind == records.PARAMS:
                request.add_params(data, start, end, self._limits)
            elif kind == records.STDIN:
                request.add_stdin(data, start, end, self._limits, events)
            elif kind == records.DATA:
                request.add_data(data, start, end, self._limits, events)
            elif kind == records.ABORT_REQUEST:
                self._abort(request, events)
            if not request.open and request.stage == RECEIVING:
                self._arrive(request, events)
        elif reader.id == 0:
            self._out += management.answer(kind, data[start:end], self._limits)
        # else: an inactive id (3.3), or a type that only applications send

    def _begin(
        self, request_id: int, content: bytes, now: float, events: list[Event]
    ) -> None:
        if len(content) != records.BEGIN_BYTES:
            self._fail(f"BEGIN_REQUEST of {len(content)} bytes; it has 8", events)
            return
        if request_id == 0 or request_id in self._requests:
            self._fail(f"BEGIN_REQUEST with id {request_id}, not a free one", events)
            return
        role = content[0] << 8 | content[1]
        keep = bool(content[2] & records.KEEP_CONN)
        active = len(self._requests)
        limit = self._limits.requests_per_connection
        if not records.RESPONDER <= role <= records.FILTER:
            self._turn_away(request_id, keep, records.UNKNOWN_ROLE)
        elif active >= 2 * limit:
            # refused requests take memory as well: beyond this, END alone
            self._turn_away(request_id, keep, records.OVERLOADED)
        else:
            request = Request(request_id, role, keep, now)
            if active >= limit:
                request.refuse(Refusal.OVERLOADED)
            self._requests[request_id] = request

    def _turn_away(self, request_id: int, keep: bool, status: int) -> None:
        self._out += records.end(request_id, 0, status)
        self._is_cut = True
        if not keep:
            self._is_last = True
            self._settle()

    def _arrive(self, request: Request, events: list[Event]) -> None:
        if request.role == records.AUTHORIZER:
            self._is_cut = True  # lighttpd sends it an empty STDIN all the same
        request.stage = RUNNING
        events.append(request)

    def _abort(self, request: Request, events: list[Event]) -> None:
        # 5.4: END "as soon as possible", with REQUEST_COMPLETE
        self._out += self._tail(request)
        if request.open:
            self._is_cut = True
        self._drop(request, events)
        self._settle()

    # ---- ends ----------------------------------------------------------------------

    def _tail(self, request: Request) -> bytes:
        tail = records.last(request.id)
        if request.has_stderr:
            return records.record(records.STDERR, request.id) + tail
        return tail

    def _end(self, request: Request) -> None:
        request.stage = ENDED
        del self._requests[request.id]
        if not request.keep:
            self._is_last = True
        if self._is_last and not self._requests:
            self._settle()

    def _drop(self, request: Request, events: list[Event]) -> None:
        if request.is_seen():
            events.append(Aborted(request))
        request.stage = ENDED
        request.gather = None
        del self._requests[request.id]
        if not request.keep:
            self._is_last = True

    def _settle(self) -> None:
        if self._is_last and not self._requests and not self.closing:
            is_clean = self._reader.is_empty() and not self._is_cut
            self.closing = CLOSE if self._is_half_closed or is_clean else LINGER

    def _fail(self, why: str, events: list[Event]) -> None:
        self.error = ProtocolError(why)
        self._close(events)

    def _close(self, events: list[Event]) -> None:
        self._reader.forget()
        for request in list(self._requests.values()):
            self._drop(request, events)
        self.closing = CLOSE

    # ---- invariants ----------------------------------------------------------------

    def check(self) -> None:
        """Assert what the tables promise; for tests."""
        for request_id, request in self._requests.items():
            assert 0 < request_id == request.id
            assert request.stage in {RECEIVING, RUNNING}
            if request.stage == RUNNING:
                assert not request.open
                assert request.gather is None
            else:
                assert request.open
                assert not request.has_stdout
                assert not request.has_stderr
            if request.gather is not None:
                kept = max(self._limits.inline_body, self._limits.max_params)
                assert len(request.gather) <= kept
            assert not request.refusal or not (request.params or request.body)
        assert len(self._requests) <= 2 * self._limits.requests_per_connection
        self._reader.check()
        assert not self.closing or not self._requests
        if self._is_last:
            assert self.closing or self._requests

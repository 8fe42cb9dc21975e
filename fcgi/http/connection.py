"""One HTTP connection as a pure machine: bytes in, requests out, replies to bytes.

The loop uses it as `fcgi.fastcgi.connection`: `receive(data, now)`, act on the events,
write `data_to_send()`, look at `closing`; when `has_more` is true the same again in the
next pass, without data, before it reads on. It writes what `reply` (`begin`, `piece`,
`end`) returns and looks again. While `is_full` it does not read. `expired(now)` once a
second, `eof(now)` when the client will send no more, `lost()` when the connection is no
more. Nothing here raises for what a client does.

The rules (RFC 9112; numbers of its sections stand where they are obeyed):

- One request at a time. What a client sends behind it waits, and is read after the
  answer (9.3.2).
- A head is looked for here and handed to h11 whole, so that where the bytes were cut
  decides nothing. A body goes through h11, which knows chunks and lengths.
- A request is reported when all of it is in. One that is refused is reported at once;
  the connection ends with its answer, and lingers: half closed, what still comes is
  read and dropped, so that no RST eats the answer (9.6).
"""

import re
from typing import Final

import h11

from fcgi.arrival import Limits
from fcgi.cgi.refusal import Refusal
from fcgi.closing import CLOSE, HALF_CLOSE_S, LINGER, LINGER_S, OPEN, SPARE_S
from fcgi.http import response
from fcgi.http.request import (
    ENDED,
    RECEIVING,
    RUNNING,
    Aborted,
    Event,
    Request,
    fault,
    of_error,
)

MANY: Final = 1 << 20  # steps in one call, where nobody else waits for his share
SLOWEST: Final = 1024
"""Bytes a second: a body that comes more slowly on the whole is given up. What a modem
did; less keeps a connection, and its memory, for next to nothing."""

_AHEAD: Final = 64 << 10  # bytes behind the request that runs, before it is waited for
_LINE: Final = 1 << 10  # bytes of one chunk's line, and of all trailers
_PIECE: Final = 1 << 10  # of a body in chunks: h11 takes all trailers that it has
_HEAD_END: Final = re.compile(rb"\n\r?\n")
_END_BYTES: Final = 2  # of an end of a head, that more may complete
_FIRST: Final = range(0x21, 0x7F)  # bytes that a method may begin with, and some more


class Connection:
    """One connection of a client."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        #: what is not looked at yet: of a head that is not whole, of a body, or behind
        #: the request that runs
        self._in = bytearray()
        self._searched = 0  # so much of it holds no end of a head
        #: begun and not ended, RECEIVING or RUNNING
        self._request: Request | None = None
        #: reads the body of `_request`; all and only while that is RECEIVING
        self._reader: h11.Connection | None = None
        #: some of what came can be looked at, but not in this pass
        self.has_more = False
        #: what `data_to_send` has not handed over
        self._out = b""
        #: the connection closes with the answer to the next request, or to this one
        self._is_last = False
        #: the client may be in the middle of a request that nobody reads
        self._is_cut = False
        #: the client sends no more
        self._is_half_closed = False
        #: seconds: last byte or last seen busy
        self._touched = now
        #: seconds: when the head or body that is coming began, or the lingering
        self._since = now
        self.closing: int = OPEN
        #: an end of the connection would look like that of the reply: reset it
        self.is_broken = False

    # ---- what arrives --------------------------------------------------------------

    def receive(self, data: bytes, now: float, most: int = MANY) -> list[Event]:
        """Take bytes, cut anywhere; return what happened, in order.

        most: heads and pieces of bodies that are looked at; `has_more` tells if there
        are others.
        """
        events: list[Event] = []
        self._touched = now
        self.has_more = False
        if self.closing or self._is_cut:
            return events
        if not self._in and self._request is None:
            self._since = now
        self._in += data
        self._look(now, most, events)
        return events

    @property
    def is_full(self) -> bool:
        """Whether more than should be has come behind the request that runs."""
        return len(self._in) >= _AHEAD and self._request is not None

    def is_idle(self) -> bool:
        """Return whether a reader that knows nothing of the past could go on here."""
        return not (
            self._request is not None
            or self._in
            or self.has_more
            or self._out
            or self.closing
            or self._is_last
            or self._is_half_closed
        )

    def is_spare(self, now: float) -> bool:
        """Return whether it has been idle for so long that others come first."""
        return self.is_idle() and now - self._touched >= SPARE_S

    def data_to_send(self) -> bytes:
        """Return what the machine itself has to say; write it before any reply."""
        out, self._out = self._out, b""
        return out

    def eof(self, now: float) -> list[Event]:
        """Take note that the client will send no more. What is in is still answered."""
        events: list[Event] = []
        if self.closing:
            self.closing = CLOSE
            return events
        self._is_half_closed = True
        self._touched = now
        if not self.has_more:
            self._look(now, MANY, events)
        return events

    def lost(self) -> list[Event]:
        """Take note that the connection is no more. Returns what was running on it."""
        events: list[Event] = []
        self._close(events)
        return events

    def drain(self) -> None:
        """Close it once its request, or one that is coming, is answered."""
        self._is_last = True
        if not self._in:
            self._settle()

    def expired(self, now: float, is_paused: bool = False) -> list[Event]:
        """Act on what took too long. Call it about once a second.

        `is_paused`: the loop does not read, so what is half sent is not late.
        """
        events: list[Event] = []
        waited = now - self._touched
        request = self._request
        if self.closing:
            if waited >= LINGER_S or now - self._since >= self._limits.receive_s:
                self.closing = CLOSE
        elif is_paused:
            self._touched = self._since = now
        elif request is not None and request.stage == RUNNING:
            if not self._is_half_closed:
                self._touched = self._since = now
            elif not request.has_begun and waited >= HALF_CLOSE_S:
                self._close(events)  # once it has begun, writing tells who has gone
        elif request is not None:
            due = self._since + self._limits.receive_s + request.body_bytes / SLOWEST
            if now >= due or waited >= self._limits.receive_s:
                self._turn_away(request, Refusal.RECEIVE_TIMEOUT, events)
        elif self._in:
            if now - self._since >= self._limits.receive_s:
                self._turn_away(self._begin(), Refusal.RECEIVE_TIMEOUT, events)
        elif waited >= self._limits.idle_s:
            self.closing = CLOSE
        return events

    # ---- what is answered ----------------------------------------------------------

    def reply(self, request: Request, head: bytes, body: bytes, date: bytes) -> bytes:
        """Return the bytes of a whole answer, b"" when nobody waits for it.

        `head` is a CGI header that says the body's length, with the blank line.
        """
        if request.stage != RUNNING:
            return b""
        return self.begin(request, head, date) + body + self.end(request)

    def begin(self, request: Request, head: bytes, date: bytes) -> bytes:
        """Return the head of an answer; `piece` and `end` follow."""
        if request.stage != RUNNING:
            return b""
        if self._is_last or (self._is_half_closed and not self._in):
            request.keep = False
        request.has_begun = True
        out, request.framing = response.opening(
            head, request.method, is_old=request.is_old, keep=request.keep, date=date
        )
        return out

    def piece(self, request: Request, data: bytes) -> bytes:
        """Return a piece of an answer that has begun."""
        if request.stage != RUNNING:
            return b""
        return response.piece(data, request.framing)

    def end(self, request: Request) -> bytes:
        """Return the end of an answer: the next request has its turn."""
        if request.stage != RUNNING:
            return b""
        self._end(request)
        return response.last(request.framing)

    def abandon(self, request: Request) -> None:
        """Leave an answer without its end; the connection closes, which tells it."""
        if request.stage != RUNNING:
            return
        request.keep = False
        self.is_broken = request.framing == response.UNTIL_CLOSE
        self._end(request)

    # ---- heads and bodies ----------------------------------------------------------

    def _look(self, now: float, most: int, events: list[Event]) -> None:
        """Look at what is there, as far as it can be, in no more than so many steps."""
        left = most
        while not self.closing and left:
            left -= 1
            if self._request is None:
                is_done = not self._read_head(now, events)
            elif self._reader is not None:
                is_done = not self._read_body(self._request, self._reader, events)
            else:
                break
            if is_done:
                self._give_up_rest(events)
                return
        self.has_more = not left and (self._request is None or self._reader is not None)

    def _give_up_rest(self, events: list[Event]) -> None:
        """Refuse a body that will never be whole (RFC 9112, 8); drop half a head."""
        if self._is_half_closed and not self.closing:
            if self._request is not None and self._reader is not None:
                self._turn_away(self._request, Refusal.BODY_CUT, events)
            else:
                self._close(events)

    def _read_head(self, now: float, events: list[Event]) -> bool:
        """Read a head; False: it is not all there."""
        data = self._in
        if data and data[0] in b"\r\n":  # 2.2: empty lines before it do not count
            self._in = data = data.lstrip(b"\r\n")
            self._searched = 0
        if not data:
            return False
        if data[0] not in _FIRST:  # no method begins so; TLS does
            self._turn_away(self._begin(), Refusal.MALFORMED, events)
            return True
        found = _HEAD_END.search(data, self._searched)
        size = len(data) if found is None else found.end()
        if size > self._limits.max_params:
            self._turn_away(self._begin(), Refusal.PARAMS_TOO_LARGE, events)
            return True
        if found is None:
            self._searched = max(0, size - _END_BYTES)
            return False
        head = bytes(data[:size])
        del data[:size]
        self._searched = 0
        self._take_head(self._begin(), head, now, events)
        return True

    def _take_head(
        self, request: Request, head: bytes, now: float, events: list[Event]
    ) -> None:
        refusal = fault(head)
        reader = h11.Connection(h11.SERVER, _LINE)
        if refusal is None:
            try:
                reader.receive_data(head)
                event = reader.next_event()
            except h11.RemoteProtocolError as error:
                refusal = of_error(error)
            else:
                assert isinstance(event, h11.Request)  # a blank line ends it
                request.take_head(event, self._limits)
                refusal = request.refusal
        if refusal is not None:
            self._turn_away(request, refusal, events)
        elif request.has_body:
            self._reader = reader
            self._since = now
            if reader.they_are_waiting_for_100_continue and not self._in:
                self._out = response.CONTINUE  # RFC 9110, 10.1.1
        else:
            self._arrive(request, events)

    def _read_body(
        self, request: Request, reader: h11.Connection, events: list[Event]
    ) -> bool:
        """Read the next piece of a body; False: it is not there."""
        try:
            event = reader.next_event()
        except h11.RemoteProtocolError as error:
            self._turn_away(request, of_error(error), events)
            return True
        if isinstance(event, h11.Data):
            request.add(event.data, self._limits, events)
            if request.refusal is not None:
                self._turn_away(request, request.refusal, events)
        elif isinstance(event, h11.EndOfMessage):
            self._in[:0] = reader.trailing_data[0]
            request.end_body(events)
            self._arrive(request, events)
        elif self._in:
            size = _PIECE if request.is_chunked else len(self._in)
            reader.receive_data(bytes(self._in[:size]))
            del self._in[:size]
        else:
            return False
        return True

    # ---- begin and end -------------------------------------------------------------

    def _begin(self) -> Request:
        request = self._request = Request()
        return request

    def _arrive(self, request: Request, events: list[Event]) -> None:
        self._reader = None
        request.stage = RUNNING
        events.append(request)

    def _turn_away(
        self, request: Request, refusal: Refusal, events: list[Event]
    ) -> None:
        """Have a request answered that is not whole, or none."""
        request.refuse(refusal)
        self._is_cut = True
        self._forget()
        self._arrive(request, events)

    def _end(self, request: Request) -> None:
        request.stage = ENDED
        self._request = None
        if not request.keep:
            self._is_last = True
        self._settle()

    def _settle(self) -> None:
        if self._request is not None or self.closing:
            return
        if self._is_last:
            is_clean = self._is_half_closed or not (self._is_cut or self._in)
            self.closing = CLOSE if is_clean else LINGER
        elif self._is_half_closed and not self._in:
            self.closing = CLOSE
        else:
            self.has_more = bool(self._in)

    def _forget(self) -> None:
        self._in.clear()
        self._searched = 0

    def _close(self, events: list[Event]) -> None:
        request = self._request
        if request is not None:
            if request.is_seen():
                events.append(Aborted(request))
            request.stage = ENDED
            self._request = None
        self._reader = None
        self.has_more = False
        self._forget()
        self.closing = CLOSE

    # ---- invariants ----------------------------------------------------------------

    def check(self) -> None:
        """Assert what the tables promise; for tests."""
        request = self._request
        is_receiving = request is not None and request.stage == RECEIVING
        assert (self._reader is not None) == is_receiving
        if request is not None:
            assert not self.closing
            assert request.stage in {RECEIVING, RUNNING}
            assert request.stage == RECEIVING or not request.gather
            assert len(request.gather) <= self._limits.inline_body
            assert request.refusal is None or not (request.keep or request.body)
        assert self._searched <= len(self._in)
        assert not (self.has_more and (self.closing or self._is_cut))
        if request is None and not self.has_more and not self.closing:
            assert len(self._in) <= self._limits.max_params
        if self._is_last:
            assert self.closing or request is not None or self._in

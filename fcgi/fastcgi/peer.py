"""One FastCGI connection: what comes in on its channel, made into requests.

A connection's bytes go through the pure `fcgi.fastcgi.connection`; this module owns the
channel and decides nothing about the protocol.
"""

# Impure, compiled.

import logging
import time
from collections.abc import Callable
from typing import Final

from fcgi import arrival, share
from fcgi.cgi.refusal import Refusal
from fcgi.channel import Channel
from fcgi.endpoints import Endpoints
from fcgi.fastcgi import records
from fcgi.fastcgi.connection import Connection
from fcgi.fastcgi.exchange import FcgiExchange, Outlet
from fcgi.fastcgi.request import Aborted, Chunk, Event, Request
from fcgi.service import Service
from fcgi.terms import Terms
from luafarm.wire.messages import AUTHORIZER, FILTER

logger = logging.getLogger("luafarm.front")

_ROLE_FLAGS: Final = {
    records.RESPONDER: 0,
    records.AUTHORIZER: AUTHORIZER,
    records.FILTER: FILTER,
}
_TEXT: Final = b"Status: 200 OK\r\nContent-Type: text/plain"


class Peer:
    """A web server at the other end, and the owner of its channel."""

    def __init__(
        self,
        service: Service,
        terms: Terms,
        endpoints: Endpoints | None,
        on_gone: Callable[["Peer"], None],
    ) -> None:
        """Call `open` next. on_gone: is told that the connection is no more."""
        self._service = service
        self._terms = terms
        self._endpoints = endpoints
        self._on_gone = on_gone
        self._connection = Connection(terms.limits, time.monotonic())
        self._channel: Channel | None = None  # once it is open, until it is lost
        self._exchanges: dict[Request, FcgiExchange] = {}  # with an event, not ended

    def open(self, channel: Channel) -> None:
        """Start."""
        self._channel = channel
        self._outlet = Outlet(self._connection, channel, self._terms)

    # ---- channel -------------------------------------------------------------------

    def connection_lost(self) -> None:
        """Stop what runs for nobody."""
        self._handle(self._connection.lost(), time.monotonic())
        self._outlet.close()
        self._channel = None  # they name each other: no work for the collector
        self._on_gone(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        connection = self._connection
        now = time.monotonic()
        events = connection.receive(data, now, share.FRAMES)
        self._handle(events, now)
        is_whole = bool(events) and isinstance(events[-1], Request)
        if self._channel is not None and not (is_whole or connection.has_more):
            self._channel.swallow(0)  # more is to come
        self._outlet.settle()
        if connection.has_more and self._channel is not None:
            self._channel.postpone()

    def eof_received(self) -> None:
        """Answer what is in; the peer may have shut down its sending half only."""
        now = time.monotonic()
        is_lost = self._channel is not None and self._channel.has_hung_up()
        events = self._connection.lost() if is_lost else self._connection.eof(now)
        self._handle(events, now)
        self._outlet.settle()

    def pause_writing(self) -> None:
        """Stop writing and reading."""
        self._outlet.outbox.pause()

    def resume_writing(self) -> None:
        """Go on with what waits."""
        self._outlet.outbox.resume()
        self._outlet.settle()

    # ---- listener ------------------------------------------------------------------

    def sweep(self, now: float) -> None:
        """Act on time; once a second."""
        channel = self._channel
        if channel is None:
            return
        outbox = self._outlet.outbox
        if outbox.is_stuck(now, self._terms.limits.send_s):
            channel.abort()
            return
        channel.swallow(0 if self._connection.is_idle() else 1)
        self._handle(self._connection.expired(now, outbox.is_paused), now)
        self._outlet.settle()

    def make_way(self, now: float) -> bool:
        """Do not close: a web server that keeps connections means to use them."""
        return False

    def pass_on(self, give: Callable[[int], bool]) -> None:
        """Give the connection away if nothing is going on; see `Connections`."""
        channel = self._channel
        if channel is None or channel.is_closing:
            return
        if self._connection.is_idle() and self._outlet.outbox.is_empty:
            channel.calm()
            if give(channel.fd):
                channel.leave()

    def drain(self) -> None:
        """Close once what is in is answered."""
        self._connection.drain()
        self._outlet.settle()

    # ---- events --------------------------------------------------------------------

    def _handle(self, events: list[Event], now: float) -> None:
        for event in events:
            if isinstance(event, Request):
                self._arrived(event, now)
            elif isinstance(event, Chunk):
                self._store(event)
            elif isinstance(event, Aborted):
                self._aborted(event.request)

    def _exchange(self, request: Request) -> FcgiExchange:
        exchange = self._exchanges.get(request)
        if exchange is None:
            exchange = FcgiExchange(self._outlet, request, self._exchanges)
            self._exchanges[request] = exchange
        return exchange

    def _store(self, chunk: Chunk) -> None:
        try:
            self._exchange(chunk.request).store(chunk)
        except OSError as error:
            logger.error("body spool: %s; the request is refused", error)  # noqa: TRY400
            chunk.request.refuse(Refusal.OVERLOADED)

    def _aborted(self, request: Request) -> None:
        exchange = self._exchanges.pop(request, None)
        if exchange is None:
            return
        exchange.release()
        pending, exchange.pending = exchange.pending, None  # as when it is answered
        if pending is not None:
            self._service.abandon(pending)

    def _arrived(self, request: Request, now: float) -> None:
        exchange = self._exchange(request)
        if request.refusal is not None:
            self._service.submit(exchange, request.refusal)
            return
        if self._endpoints is not None:
            text = self._endpoints.answer(request.params)
            if text is not None:
                exchange.reply(_TEXT, text, b"")
                return
        arrived = arrival.admit(
            exchange,
            request.script_filename,
            request.method,
            request.params,
            None if request.body_spooled else request.body,
            request.body_bytes,
            now,
            request.data_bytes,
            _ROLE_FLAGS[request.role],
        )
        self._service.submit(exchange, arrived)

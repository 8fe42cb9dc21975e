"""One HTTP connection: its channel, its request, and the way of the reply.

A connection's bytes go through the pure `fcgi.http.connection`; this module owns the
channel, its outbox and the spool of a body, and decides nothing about the protocol.
"""

# Impure.

import functools
import logging
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from fcgi import arrival, share
from fcgi.cgi import pages
from fcgi.cgi import reply as replies
from fcgi.cgi.refusal import Refusal
from fcgi.channel import Channel
from fcgi.closing import CLOSE, LINGER
from fcgi.http import response, variables
from fcgi.http.connection import Connection
from fcgi.http.request import Aborted, Chunk, Event, Request
from fcgi.http.roots import Location
from fcgi.http.site import Site
from fcgi.outbox import Outbox
from fcgi.spool import BodySpool
from luafarm.wire.messages import ScriptError

if TYPE_CHECKING:
    from fcgi.dispatch.tables import Pending

logger = logging.getLogger("luafarm.front")


class HttpExchange:
    """One HTTP request; see `fcgi.exchange.Exchange`."""

    def __init__(self, peer: "HttpPeer", request: Request) -> None:
        self.pending: Pending | None = None
        self.request = request
        self.spool: BodySpool | None = None  # of a long body
        self._peer = peer
        self._stream: replies.Stream | None = None  # of a reply that has begun
        self._places: Iterator[Location] = iter(())  # where its script may be as well

    # ---- on its way ----------------------------------------------------------------

    def begin(self) -> None:
        """Ask in the first root where the script may be, or answer that it may not."""
        path = unquote_to_bytes(self.request.target.path)
        if b"\0" in path or b".." in path.split(b"/"):
            self.refuse(Refusal.BAD_PATH)  # below no root, but maybe beside one
            return
        self._places = self._peer.site.roots.places(path)
        place = next(self._places, None)
        if place is None:
            self.refuse(Refusal.NOT_FOUND)
        else:
            self._ask(place)

    def _ask(self, place: Location) -> None:
        request, peer = self.request, self._peer
        if not peer.is_asking(self):
            return  # the client went away meanwhile
        pairs = variables.parameters(request, place, peer.ends)
        body = None if self.spool is not None else request.body
        limits, now = peer.site.terms.limits, time.monotonic()
        arrived = arrival.admit_pairs(
            self, pairs, body, request.body_bytes, limits, now
        )
        peer.site.service.submit(self, arrived)

    # ---- the way back --------------------------------------------------------------

    def reply(self, head: bytes, body: bytes, stderr: bytes) -> None:
        """Send a whole reply; see `Exchange`."""
        del stderr  # it is in the log
        head, body = replies.whole(self._checked(head), body, self.request.method)
        self._whole(head, body)

    def part(self, head: bytes, chunk: bytes, stderr: bytes) -> None:
        """Send a piece of a reply; see `Exchange`."""
        del stderr
        connection, out = self._peer.connection, b""
        stream = self._stream
        if stream is None:
            self._checked(head)
            heads = self._peer.site.terms.heads
            stream = replies.Stream(heads, self.request.method, is_trusted=False)
            out = connection.begin(self.request, stream.opening(head), _now())
            if self.request.framing == response.UNTIL_CLOSE:
                self._peer.guard()
            self._stream = stream
        self._peer.send(out + connection.piece(self.request, stream.body(chunk)))

    def finish(self, stderr: bytes) -> None:
        """End a reply that was sent in parts; visibly, when it is too short."""
        del stderr
        if self._stream is not None and self._stream.is_short():
            self._peer.connection.abandon(self.request)
        else:
            self._peer.send(self._peer.connection.end(self.request))
        self._end()

    def refuse(
        self,
        refusal: Refusal,
        retry_after_s: int = 0,
        error: ScriptError | None = None,
        stderr: bytes = b"",
    ) -> None:
        """Answer with a page, a developer's if it may tell; see `Exchange`."""
        del stderr
        if self._stream is not None:
            self._peer.connection.abandon(self.request)
            self._end()
            return
        if refusal is Refusal.NOT_FOUND:
            place = next(self._places, None)
            if place is not None:
                # not at once: whoever says that a script is missing is still at it
                self._peer.soon(functools.partial(self._ask, place))
                return
        if self._peer.site.terms.show_errors:
            head, body = pages.developer(
                refusal,
                url=self.request.target.path,
                retry_after_s=retry_after_s,
                error=error,
            )
        else:
            head, body = pages.refusal(
                refusal, retry_after_s=retry_after_s, show_errors=False
            )
        self._whole(head, b"" if self.request.method == b"HEAD" else body)

    def read_body(self, stream: int, offset: int, max_bytes: int) -> bytes:
        """Return bytes of a body that did not travel with the request."""
        if self.spool is not None:
            return self.spool.read(stream, offset, max_bytes)
        return self.request.body[offset : offset + max_bytes]

    def release(self) -> None:
        """Give back what the request holds."""
        if self.spool is not None:
            self.spool.close()
            self.spool = None

    def _checked(self, head: bytes) -> replies.Head:
        """Return the header block of a reply, if HTTP can say it. Raise BadHeaderError.

        A web server has a say in what it passes on; from here it goes to the client.
        """
        parsed = self._peer.site.terms.heads.parse(head)
        if parsed.status >= 600:
            raise replies.BadHeaderError(f"reply with status {parsed.status}")
        return parsed

    def _whole(self, head: bytes, body: bytes) -> None:
        self._peer.send(self._peer.connection.reply(self.request, head, body, _now()))
        self._end()

    def _end(self) -> None:
        self.pending = None  # they name each other: no work for the collector
        self.release()
        self._peer.ended(self)


class HttpPeer:
    """One HTTP connection, and the owner of its channel."""

    def __init__(self, site: Site, ends: variables.Ends) -> None:
        """Call `open` next."""
        self.site = site
        self.ends = ends
        self.connection = Connection(site.terms.limits, time.monotonic())
        self._exchange: HttpExchange | None = None  # with an event, not ended
        self._channel: Channel | None = None  # None: not yet, or no more
        self._outbox: Outbox | None = None  # of the channel
        self._is_finishing = False
        self._is_full = False  # not read until the request is answered

    # ---- channel -------------------------------------------------------------------

    def open(self, channel: Channel) -> None:
        """Start."""
        self._channel = channel
        self._outbox = Outbox(channel, self.site.terms.quota)

    def connection_lost(self) -> None:
        """Stop what runs for nobody."""
        self._handle(self.connection.lost())
        self._channel = None
        if self._outbox is not None:
            self._outbox.close()
            self._outbox = None
        self.site.connections.gone(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        connection = self.connection
        events = connection.receive(data, time.monotonic(), share.FRAMES)
        self._handle(events)
        is_whole = bool(events) and isinstance(events[-1], Request)
        if self._channel is not None and not (is_whole or connection.has_more):
            self._channel.swallow(0)  # more is to come
        self._after()

    def eof_received(self) -> None:
        """Answer what is in; the client may have shut down its sending half only."""
        if self._channel is not None and self._channel.has_hung_up():
            self._handle(self.connection.lost())
        else:
            self._handle(self.connection.eof(time.monotonic()))
        self._after()

    def pause_writing(self) -> None:
        """Stop writing and reading."""
        if self._outbox is not None:
            self._outbox.pause()

    def resume_writing(self) -> None:
        """Go on with what waits."""
        if self._outbox is not None:
            self._outbox.resume()
        self._after()

    # ---- replies -------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Write to the client, now or when it reads on."""
        if self._outbox is not None:
            self._outbox.send(data)

    def guard(self) -> None:
        """Have the client see it if this process dies before the reply has its end."""
        if self._channel is not None:
            self._channel.guard()

    def soon(self, act: Callable[[], None]) -> None:
        """Do something in the loop's next pass."""
        self.site.connections.channels.loop.call_soon(act)

    def is_asking(self, exchange: HttpExchange) -> bool:
        """Return whether its client still waits for an answer."""
        return self._exchange is exchange

    def ended(self, exchange: HttpExchange) -> None:
        """Take note that a request was answered."""
        if self._exchange is exchange:
            self._exchange = None
        self._after()

    def sweep(self, now: float) -> None:
        """Act on time; once a second."""
        channel, outbox = self._channel, self._outbox
        if channel is None or outbox is None:
            return
        if outbox.is_stuck(now, self.site.terms.limits.send_s):
            channel.abort()
            return
        channel.swallow(0 if self.connection.is_idle() else 1)
        self._handle(self.connection.expired(now, outbox.is_paused))
        self._after()

    def make_way(self, now: float) -> bool:
        """Close if nothing has gone on for a while; return whether."""
        outbox = self._outbox
        if outbox is None or not (outbox.is_empty and self.connection.is_spare(now)):
            return False
        self.drain()
        return True

    def pass_on(self, give: Callable[[int], bool]) -> None:
        """Give the connection away if nothing is going on; see `Connections`."""
        channel, outbox = self._channel, self._outbox
        if (
            channel is not None
            and outbox is not None
            and outbox.is_empty
            and self.connection.is_idle()
            and not channel.is_closing
        ):
            channel.calm()
            if give(channel.fd):
                channel.leave()

    def drain(self) -> None:
        """Close once what is in is answered."""
        self.connection.drain()
        self._after()

    # ---- inside --------------------------------------------------------------------

    def _after(self) -> None:
        """Write what the machine has to say, and do what it wants next."""
        connection, channel, outbox = self.connection, self._channel, self._outbox
        if channel is None or outbox is None:
            return
        outbox.send(connection.data_to_send())
        if connection.closing:
            if not outbox.has_spooled:
                self._close(channel)
            return
        if connection.has_more and not outbox.is_paused:
            channel.postpone()
        if connection.is_full:
            self._is_full = True
            channel.pause_reading()
        elif self._is_full and not outbox.is_paused:
            self._is_full = False
            channel.resume_reading()

    def _close(self, channel: Channel) -> None:
        if self.connection.closing == CLOSE:
            if self.connection.is_broken:
                channel.abort()
            else:
                channel.close()
        elif self.connection.closing == LINGER and not self._is_finishing:
            self._is_finishing = True
            channel.write_eof()
            channel.resume_reading()

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Request):
                self._arrived(event)
            elif isinstance(event, Chunk):
                self._store(event)
            elif isinstance(event, Aborted):
                self._aborted(event.request)

    def _of(self, request: Request) -> HttpExchange:
        exchange = self._exchange
        if exchange is None or exchange.request is not request:
            exchange = self._exchange = HttpExchange(self, request)
        return exchange

    def _arrived(self, request: Request) -> None:
        exchange = self._of(request)
        if request.refusal is not None:
            self.site.service.submit(exchange, request.refusal)
        else:
            exchange.begin()

    def _store(self, chunk: Chunk) -> None:
        exchange = self._of(chunk.request)
        try:
            if exchange.spool is None:
                exchange.spool = BodySpool(self.site.terms.quota)
            exchange.spool.write(0, chunk.data)
        except OSError as error:
            logger.error("body spool: %s; the request is refused", error)  # noqa: TRY400
            chunk.request.refuse(Refusal.OVERLOADED)

    def _aborted(self, request: Request) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is None or exchange.request is not request:
            return
        exchange.release()
        pending, exchange.pending = exchange.pending, None  # as when it is answered
        if pending is not None:
            self.site.service.abandon(pending)


@functools.lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()


def _now() -> bytes:
    """Return the date of a reply (RFC 9110, 6.6.1)."""
    return _date(int(time.time()))

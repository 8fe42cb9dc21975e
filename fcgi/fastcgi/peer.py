"""One FastCGI connection: its channel, its requests, and the way of their replies.

A connection's bytes go through the pure `fcgi.fastcgi.connection`; this module owns the
channel and the spools, and decides nothing about the protocol. What a slow client
does not take is kept in memory up to `reply_memory`, then in an unlinked temporary
file, so that no script ever waits for a client; meanwhile the connection is not read.
"""

# Impure, compiled.

import logging
import select
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from fcgi import arrival, share
from fcgi.cgi import pages, reply, scriptname
from fcgi.cgi.refusal import Refusal
from fcgi.fastcgi import records
from fcgi.fastcgi.channel import Channel
from fcgi.fastcgi.connection import CLOSE, LINGER, Connection
from fcgi.fastcgi.request import Aborted, Chunk, Event, Request
from fcgi.spool import BodySpool, ReplySpool
from luafarm.wire.messages import AUTHORIZER, FILTER, ScriptError

if TYPE_CHECKING:
    from fcgi.dispatch.tables import Pending
    from fcgi.fastcgi.listener import Server

logger = logging.getLogger("luafarm.front")

_WRITE: Final = 256 * 1024  # bytes given to a channel at a time
_ROLE_FLAGS: Final = {
    records.RESPONDER: 0,
    records.AUTHORIZER: AUTHORIZER,
    records.FILTER: FILTER,
}


class FcgiExchange:
    """One request on a FastCGI connection."""

    def __init__(self, peer: "Peer", request: Request) -> None:
        self.pending: Pending | None = None
        self.request = request
        self._peer = peer
        self._stream: reply.Stream | None = None  # of a reply that has begun
        self.spool: BodySpool | None = None

    def reply(self, head: bytes, body: bytes, stderr: bytes) -> None:
        """Send a whole reply; see `Exchange`."""
        peer = self._peer
        request = self.request
        parsed = peer.server.heads.parse(head, self._is_trusted())
        head, body = reply.whole(parsed, body, request.method)
        peer.send(peer.connection.reply(request, head, body, stderr))
        self._end()

    def part(self, head: bytes, chunk: bytes, stderr: bytes) -> None:
        """Send a piece of a reply; see `Exchange`."""
        peer = self._peer
        stream = self._stream
        if stream is None:
            heads, method = peer.server.heads, self.request.method
            stream = reply.Stream(heads, method, self._is_trusted())
        out = stream.opening(head) + stream.body(chunk)
        self._stream = stream
        peer.send(
            peer.connection.stdout(self.request, out)
            + peer.connection.stderr(self.request, stderr)
        )

    def finish(self, stderr: bytes) -> None:
        """End a reply that was sent in parts; visibly, when it is too short."""
        peer = self._peer
        if self._stream is not None and self._stream.is_short():
            peer.send(peer.connection.stderr(self.request, stderr))
            peer.connection.abandon(self.request)
        else:
            peer.send(peer.connection.end(self.request, stderr))
        self._end()

    def refuse(
        self,
        refusal: Refusal,
        retry_after_s: int = 0,
        error: ScriptError | None = None,
        stderr: bytes = b"",
    ) -> None:
        """Answer with a page; see `Exchange`."""
        peer = self._peer
        if self._stream is not None:
            # only a connection that ends without END_REQUEST shows the reply is cut
            peer.send(peer.connection.stderr(self.request, stderr))
            peer.connection.abandon(self.request)
        else:
            is_missing = refusal is Refusal.NOT_FOUND
            head, body = pages.refusal(
                refusal,
                url=scriptname.url_path(self.request.params) if is_missing else b"",
                retry_after_s=retry_after_s,
                error=error,
                show_errors=peer.server.front.show_errors,
                directories=peer.server.directories,
            )
            if self.request.method == b"HEAD":
                body = b""
            peer.send(peer.connection.reply(self.request, head, body, stderr))
        self._end()

    def read_body(self, stream: int, offset: int, max_bytes: int) -> bytes:
        """Return bytes of a body that did not travel with the request."""
        request = self.request
        if stream == 0 and not request.body_spooled:
            return request.body[offset : offset + max_bytes]
        if stream == 1 and not request.data_spooled:
            return request.data[offset : offset + max_bytes]
        if self.spool is None:
            return b""
        return self.spool.read(stream, offset, max_bytes)

    def release(self) -> None:
        """Give back what the request holds."""
        if self.spool is not None:
            self.spool.close()
            self.spool = None

    def _is_trusted(self) -> bool:
        pending = self.pending
        if pending is None:
            return True  # the front's own ping and status
        return pending.entry is not None and (
            pending.entry.pool in self._peer.server.trusted_pools
        )

    def _end(self) -> None:
        self.pending = None  # they name each other: no work for the collector
        self.release()
        self._peer.ended(self.request)


class Peer:
    """One FastCGI connection, and the owner of its channel."""

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.connection = Connection(server.limits, time.monotonic())
        self._exchanges: dict[Request, FcgiExchange] = {}  # with an event, not ended
        self._channel: Channel | None = None
        self._spool: ReplySpool | None = None
        self._is_paused = False  # the channel takes no more
        self._is_finishing = False
        self._left = 0  # bytes that the client has not taken, at the last sweep
        self._taken_at = 0.0  # when it took some, or had none to take

    # ---- channel -------------------------------------------------------------------

    def open(self, channel: Channel) -> None:
        """Start."""
        self._channel = channel
        self.server.peers.add(self)

    def connection_lost(self) -> None:
        """Stop what runs for nobody."""
        self._handle(self.connection.lost())
        self._channel = None
        if self._spool is not None:
            self._spool.close()
            self._spool = None
        self.server.gone(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        connection = self.connection
        events = connection.receive(data, time.monotonic(), share.FRAMES)
        if events:
            self._handle(events)
        self._after()
        if connection.has_more and self._channel is not None:
            self._channel.postpone()

    def eof_received(self) -> None:
        """Answer what is in; the peer may have shut down its sending half only."""
        if self._hung_up():
            self._handle(self.connection.lost())
        else:
            self._handle(self.connection.eof(time.monotonic()))
        self._after()

    def pause_writing(self) -> None:
        """Stop writing and reading."""
        self._is_paused = True
        if self._channel is not None:
            self._channel.pause_reading()

    def resume_writing(self) -> None:
        """Go on with what waits."""
        self._is_paused = False
        if self._spool is not None:
            self._spool.drain(self._write, self._may_write)
        if not self._is_paused and self._channel is not None:
            self._channel.resume_reading()
        self._after()

    # ---- replies -------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Write to the client, now or when it reads on."""
        if not data or self._channel is None:
            return
        if self._spool:
            self._keep(data)
        elif len(data) <= _WRITE and not self._is_paused:
            self._channel.write(data)
        else:
            at = 0
            while at < len(data) and not self._is_paused:
                self._channel.write(data[at : at + _WRITE])
                at += _WRITE
            if at < len(data):
                self._keep(data[at:])

    def ended(self, request: Request) -> None:
        """Take note that a request was answered."""
        self._exchanges.pop(request, None)
        if self.connection.closing:
            self._after()

    def sweep(self, now: float) -> None:
        """Act on time; once a second."""
        channel = self._channel
        if channel is None:
            return
        left = channel.waiting
        if not left or left != self._left:
            self._left = left
            self._taken_at = now
        elif now - self._taken_at >= self.server.limits.send_s:
            channel.abort()
            return
        self._handle(self.connection.expired(now, self._is_paused))
        self._after()

    def pass_on(self, give: Callable[[int], bool]) -> None:
        """Give the connection away if nothing is going on: unread, without a close.

        give: takes its descriptor, and may say no; the connection stays then.
        """
        channel = self._channel
        if (
            channel is None
            or self._spool
            or not self.connection.is_idle()
            or channel.is_closing
            or channel.waiting
        ):
            return
        if give(channel.fd):
            channel.leave()

    def drain(self) -> None:
        """Close once what is in is answered."""
        self.connection.drain()
        self._after()

    # ---- inside --------------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        if self._channel is not None:
            self._channel.write(data)

    def _may_write(self) -> bool:
        return not self._is_paused

    def _keep(self, data: bytes) -> None:
        if self._spool is None:
            self._spool = ReplySpool(self.server.quota)
        try:
            self._spool.write(data)
        except OSError as error:
            logger.error("reply spool: %s; the client is cut off", error)  # noqa: TRY400
            if self._channel is not None:
                self._channel.abort()

    def _after(self) -> None:
        """Write what the machine has to say, and close when it is done."""
        connection = self.connection
        out = connection.data_to_send()
        if out:
            self.send(out)
        if not connection.closing or self._channel is None or self._spool:
            return
        if connection.closing == CLOSE:
            if connection.error is not None:
                logger.info("connection closed: %s", connection.error)
            if connection.last_words:
                self._channel.write(connection.last_words)
            self._channel.close()
        elif connection.closing == LINGER and not self._is_finishing:
            self._is_finishing = True
            self._channel.write_eof()

    def _hung_up(self) -> bool:
        """Whether the peer closed both halves; only UNIX sockets can tell."""
        channel = self._channel
        assert channel is not None
        if not channel.is_unix:
            return False
        poller = select.poll()
        poller.register(channel.fd, 0)
        return any(mask & select.POLLHUP for _, mask in poller.poll(0))

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Request):
                self._arrived(event)
            elif isinstance(event, Chunk):
                self._store(event)
            elif isinstance(event, Aborted):
                self._aborted(event.request)

    def _exchange(self, request: Request) -> FcgiExchange:
        exchange = self._exchanges.get(request)
        if exchange is None:
            exchange = self._exchanges[request] = FcgiExchange(self, request)
        return exchange

    def _store(self, chunk: Chunk) -> None:
        exchange = self._exchange(chunk.request)
        try:
            if exchange.spool is None:
                exchange.spool = BodySpool(self.server.quota)
            exchange.spool.write(int(chunk.stream == records.DATA), chunk.data)
        except OSError as error:
            logger.error("body spool: %s; the request is refused", error)  # noqa: TRY400
            chunk.request.refuse(Refusal.OVERLOADED)

    def _aborted(self, request: Request) -> None:
        exchange = self._exchanges.pop(request, None)
        if exchange is None:
            return
        exchange.release()
        if exchange.pending is not None:
            self.server.service.abandon(exchange.pending)

    def _arrived(self, request: Request) -> None:
        exchange = self._exchange(request)
        service = self.server.service
        if request.refusal is not None:
            service.submit(exchange, request.refusal)
        elif not self.server.answers_itself(exchange):
            arrived = arrival.admit(
                exchange,
                request.script_filename,
                request.method,
                request.params,
                None if request.body_spooled else request.body,
                request.body_bytes,
                time.monotonic(),
                request.data_bytes,
                _ROLE_FLAGS[request.role],
            )
            service.submit(exchange, arrived)

"""One request on a FastCGI connection, and the way back to its web server."""

# Impure, compiled.

import logging
from typing import TYPE_CHECKING

from fcgi.cgi import pages, reply, scriptname
from fcgi.cgi.refusal import Refusal
from fcgi.channel import Channel
from fcgi.closing import CLOSE, LINGER
from fcgi.fastcgi import records
from fcgi.fastcgi.connection import Connection
from fcgi.fastcgi.request import Chunk, Request
from fcgi.outbox import Outbox
from fcgi.spool import BodySpool
from fcgi.terms import Terms
from luafarm.wire.messages import ScriptError

if TYPE_CHECKING:
    from fcgi.dispatch.tables import Pending

logger = logging.getLogger("luafarm.front")


class Outlet:
    """The way out: what a connection's machine and its exchanges say."""

    def __init__(self, connection: Connection, channel: Channel, terms: Terms) -> None:
        self.connection = connection
        self.terms = terms
        self.outbox = Outbox(channel, terms.quota)
        self._channel: Channel | None = channel
        self._is_finishing = False

    def send(self, data: bytes) -> None:
        """Write to the client, now or when it reads on."""
        self.outbox.send(data)

    def guard(self) -> None:
        """Have the client see it if this process dies before the reply has its end."""
        if self._channel is not None:
            self._channel.guard()

    def settle(self) -> None:
        """Write what the machine has to say, and close when it is done."""
        connection = self.connection
        out = connection.data_to_send()
        if out:
            self.send(out)
        if not connection.closing or self._channel is None or self.outbox.has_spooled:
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

    def close(self) -> None:
        """Forget what waits: the connection is no more."""
        self._channel = None
        self.outbox.close()


class FcgiExchange:
    """One request; see `fcgi.exchange.Exchange`."""

    def __init__(
        self,
        outlet: Outlet,
        request: Request,
        exchanges: "dict[Request, FcgiExchange]",
    ) -> None:
        """exchanges: of its connection, those that have not ended."""
        self.pending: Pending | None = None
        self.request = request
        self._outlet = outlet
        self._exchanges = exchanges
        self._stream: reply.Stream | None = None  # of a reply that has begun
        self._spool: BodySpool | None = None

    def reply(self, head: bytes, body: bytes, stderr: bytes) -> None:
        """Send a whole reply; see `Exchange`."""
        outlet = self._outlet
        request = self.request
        parsed = outlet.terms.heads.parse(head, self._is_trusted())
        head, body = reply.whole(parsed, body, request.method)
        outlet.send(outlet.connection.reply(request, head, body, stderr))
        self._end()

    def part(self, head: bytes, chunk: bytes, stderr: bytes) -> None:
        """Send a piece of a reply; see `Exchange`."""
        outlet = self._outlet
        stream = self._stream
        if stream is None:
            heads, method = outlet.terms.heads, self.request.method
            stream = reply.Stream(heads, method, self._is_trusted())
            outlet.guard()
        out = stream.opening(head) + stream.body(chunk)
        self._stream = stream
        outlet.send(
            outlet.connection.stdout(self.request, out)
            + outlet.connection.stderr(self.request, stderr)
        )

    def finish(self, stderr: bytes) -> None:
        """End a reply that was sent in parts; visibly, when it is too short."""
        outlet = self._outlet
        if self._stream is not None and self._stream.is_short():
            outlet.send(outlet.connection.stderr(self.request, stderr))
            outlet.connection.abandon(self.request)
        else:
            outlet.send(outlet.connection.end(self.request, stderr))
        self._end()

    def refuse(
        self,
        refusal: Refusal,
        retry_after_s: int = 0,
        error: ScriptError | None = None,
        stderr: bytes = b"",
    ) -> None:
        """Answer with a page; see `Exchange`."""
        outlet = self._outlet
        if self._stream is not None:
            # only a connection that ends without END_REQUEST shows the reply is cut
            outlet.send(outlet.connection.stderr(self.request, stderr))
            outlet.connection.abandon(self.request)
        else:
            is_missing = refusal is Refusal.NOT_FOUND
            head, body = pages.refusal(
                refusal,
                url=scriptname.url_path(self.request.params) if is_missing else b"",
                retry_after_s=retry_after_s,
                error=error,
                show_errors=outlet.terms.show_errors,
                directories=outlet.terms.directories,
            )
            if self.request.method == b"HEAD":
                body = b""
            outlet.send(outlet.connection.reply(self.request, head, body, stderr))
        self._end()

    def read_body(self, stream: int, offset: int, max_bytes: int) -> bytes:
        """Return bytes of a body that did not travel with the request."""
        request = self.request
        if stream == 0 and not request.body_spooled:
            return request.body[offset : offset + max_bytes]
        if stream == 1 and not request.data_spooled:
            return request.data[offset : offset + max_bytes]
        if self._spool is None:
            return b""
        return self._spool.read(stream, offset, max_bytes)

    def store(self, chunk: Chunk) -> None:
        """Keep a piece of a long body. Raises OSError at the quota."""
        if self._spool is None:
            self._spool = BodySpool(self._outlet.terms.quota)
        self._spool.write(int(chunk.stream == records.DATA), chunk.data)

    def release(self) -> None:
        """Give back what the request holds."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def _is_trusted(self) -> bool:
        pending = self.pending
        if pending is None:
            return True  # the front's own ping and status
        return pending.entry is not None and (
            pending.entry.pool in self._outlet.terms.trusted_pools
        )

    def _end(self) -> None:
        self.pending = None  # they name each other: no work for the collector
        self.release()
        self._exchanges.pop(self.request, None)
        if self._outlet.connection.closing:
            self._outlet.settle()

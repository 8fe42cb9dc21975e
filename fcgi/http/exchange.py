"""One request over HTTP and the way back to its client.

The service answers whenever it has something; the listener's task takes it as fast as
the client does. What waits between the two is bounded: see `fcgi.outbox`.
"""

# Impure.

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from fcgi.cgi import pages
from fcgi.cgi import reply as replies
from fcgi.cgi.refusal import Refusal
from fcgi.http.outbox import Outbox
from fcgi.quota import Quota
from luafarm.config.settings import Front
from luafarm.wire.messages import ScriptError

if TYPE_CHECKING:
    from fcgi.dispatch.tables import Pending
    from fcgi.spool import BodySpool

logger = logging.getLogger("luafarm.front")


class Piece(NamedTuple):
    """A piece of an answer, in order."""

    head: bytes | None  # of the first one: CGI header block
    chunk: bytes
    is_last: bool
    is_cut: bool  # the last one, and the answer is not whole


class HttpExchange:
    """One HTTP request; see `fcgi.exchange.Exchange`."""

    def __init__(
        self,
        heads: replies.Heads,
        front: Front,
        quota: Quota,
        method: bytes,
        url: bytes,
        cut_off: Callable[[], None],
    ) -> None:
        """url: the path that was asked for. cut_off: ends the connection at once."""
        self.pending: Pending | None = None  # until all of it is answered
        self.method = method
        self.body = b""
        self.spool: BodySpool | None = None  # of a long body
        self.elsewhere: Callable[[], bool] | None = None  # asks in the next root
        self.is_closed = False
        self._url = url
        self._show_errors = front.show_errors
        self._cut_off = cut_off
        self._heads = heads
        self._stream = replies.Stream(heads, method, is_trusted=False)
        self._head: bytes | None = None  # answered, not taken yet
        self._out = Outbox(quota, front.reply_memory)
        self._is_whole = False  # nothing more will be answered
        self._is_cut = False
        self._news = asyncio.Event()  # `take` has something to return

    def reply(self, head: bytes, body: bytes, stderr: bytes) -> None:
        """Send a whole reply; see `Exchange`."""
        del stderr  # it is in the log
        parsed = self._checked(head)
        head, body = replies.whole(parsed, body, self.method)
        self._put(head, body, is_whole=True)

    def part(self, head: bytes, chunk: bytes, stderr: bytes) -> None:
        """Send a piece of a reply; see `Exchange`."""
        del stderr
        if not self._stream.has_begun:
            self._checked(head)
        opening = self._stream.opening(head) or None
        self._put(opening, self._stream.body(chunk))

    def finish(self, stderr: bytes) -> None:
        """End a reply that was sent in parts."""
        del stderr
        self._is_cut = self._stream.is_short()
        self._put(None, b"", is_whole=True)

    def refuse(
        self,
        refusal: Refusal,
        retry_after_s: int = 0,
        error: ScriptError | None = None,
        stderr: bytes = b"",
    ) -> None:
        """Answer with a page, a developer's if it may tell; see `Exchange`."""
        del stderr
        if self._stream.has_begun:
            self._is_cut = True
            self._put(None, b"", is_whole=True)
            return
        if refusal is Refusal.NOT_FOUND and self.elsewhere and self.elsewhere():
            return
        if self._show_errors:
            head, body = pages.developer(
                refusal, url=self._url, retry_after_s=retry_after_s, error=error
            )
        else:
            head, body = pages.refusal(
                refusal, retry_after_s=retry_after_s, show_errors=False
            )
        self._put(head, b"" if self.method == b"HEAD" else body, is_whole=True)

    def read_body(self, stream: int, offset: int, max_bytes: int) -> bytes:
        """Return bytes of a body that did not travel with the request."""
        if self.is_closed:
            return b""
        if self.spool is not None:
            return self.spool.read(stream, offset, max_bytes)
        return self.body[offset : offset + max_bytes]

    async def take(self) -> Piece:
        """Return the next piece, as soon as there is one."""
        await self._news.wait()
        head, self._head = self._head, None
        chunk = self._out.take()
        is_last = self._is_whole and not self._out
        if not is_last and not self._out:
            self._news.clear()
        return Piece(head, chunk, is_last, is_last and self._is_cut)

    def close(self) -> None:
        """Give back what the request holds: its client has the answer, or is gone."""
        self.is_closed = True
        self._out.close()
        if self.spool is not None:
            self.spool.close()

    def _put(self, head: bytes | None, chunk: bytes, *, is_whole: bool = False) -> None:
        if self.is_closed or self._is_whole:
            return
        if head is not None:
            self._head = head
        try:
            self._out.put(chunk)
        except OSError as error:
            logger.error("reply spool: %s; the client is cut off", error)  # noqa: TRY400
            self._out.close()
            self._cut_off()  # the listener hears of it, and abandons the request
            self._is_whole = self._is_cut = True
            return
        if is_whole:
            self._is_whole = True
            self.pending = None
        self._news.set()

    def _checked(self, head: bytes) -> replies.Head:
        """Return the header block of a reply, if HTTP can say it. Raise BadHeaderError.

        A web server has a say in what it passes on; from here it goes to the client.
        """
        parsed = self._heads.parse(head)
        if parsed.status >= 600:
            raise replies.BadHeaderError(f"reply with status {parsed.status}")
        return parsed

"""The way out of a FastCGI connection: to its channel, or to where the rest waits.

What a slow client does not take is kept in the channel up to `reply_memory`, then in an
unlinked temporary file, so that no script ever waits for a client; meanwhile the
connection is not read.
"""

# Impure, compiled.

import logging
from typing import Final

from fcgi.fastcgi.channel import Channel
from fcgi.fastcgi.connection import CLOSE, LINGER, Connection
from fcgi.outbox import Outbox
from fcgi.terms import Terms

logger = logging.getLogger("luafarm.front")

_WRITE: Final = 256 * 1024  # bytes given to a channel at a time


class Outlet:
    """What a connection's machine and exchanges say goes through here."""

    def __init__(self, connection: Connection, channel: Channel, terms: Terms) -> None:
        self.connection = connection
        self.terms = terms
        self.is_paused = False  # the channel takes no more
        self._channel: Channel | None = channel
        self._rest: Outbox | None = None
        self._is_finishing = False

    def send(self, data: bytes) -> None:
        """Write to the client, now or when it reads on."""
        if not data or self._channel is None:
            return
        if self._rest:
            self._keep(data)
        elif len(data) <= _WRITE and not self.is_paused:
            self._channel.write(data)
        else:
            at = 0
            while at < len(data) and not self.is_paused:
                self._channel.write(data[at : at + _WRITE])
                at += _WRITE
            if at < len(data):
                self._keep(data[at:])

    def settle(self) -> None:
        """Write what the machine has to say, and close when it is done."""
        connection = self.connection
        out = connection.data_to_send()
        if out:
            self.send(out)
        if not connection.closing or self._channel is None or self._rest:
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

    def pause(self) -> None:
        """Stop writing and reading."""
        self.is_paused = True
        if self._channel is not None:
            self._channel.pause_reading()

    def resume(self) -> None:
        """Go on with what waits."""
        self.is_paused = False
        channel, rest = self._channel, self._rest
        if channel is None:
            return
        while rest and not self.is_paused:
            channel.write(rest.take())
        if not self.is_paused:
            channel.resume_reading()
        self.settle()

    def is_empty(self) -> bool:
        """Return whether the client has taken everything."""
        return not self._rest and (self._channel is None or not self._channel.waiting)

    def close(self) -> None:
        """Forget what waits: the connection is no more."""
        self._channel = None
        if self._rest is not None:
            self._rest.close()
            self._rest = None

    def _keep(self, data: bytes) -> None:
        if self._rest is None:
            self._rest = Outbox(self.terms.quota, 0)
        try:
            self._rest.put(data)
        except OSError as error:
            logger.error("reply spool: %s; the client is cut off", error)  # noqa: TRY400
            if self._channel is not None:
                self._channel.abort()

"""The way of replies to one client, whatever it speaks: no script waits for a client.

What a client does not take is kept in its channel up to `reply_memory`, then in an
unlinked temporary file. Meanwhile the connection is not read: a client that asks and
never listens gets no further. One that takes nothing for `send_timeout` is cut off.
"""

# Impure, compiled.

import logging
from typing import Final

from fcgi.channel import Channel
from fcgi.quota import Quota
from fcgi.spool import ReplySpool

logger = logging.getLogger("luafarm.front")

PIECE: Final = 256 * 1024
"""Bytes given to a channel at a time: by this `reply_memory` may be passed there."""


class Outbox:
    """First in, first out; the owner of the channel passes on what that tells it."""

    def __init__(self, channel: Channel, quota: Quota) -> None:
        """quota: of all temporary files of the front."""
        self.is_paused = False  # the channel takes no more
        self._channel: Channel | None = channel  # None: it is no more
        self._quota = quota
        self._spool: ReplySpool | None = None
        self._left = 0  # bytes that the client has not taken, at the last look
        self._taken_at = 0.0  # when it took some, or had none to take

    @property
    def has_spooled(self) -> bool:
        """Whether some waits that the channel does not have yet."""
        return self._spool is not None and len(self._spool) > 0

    @property
    def is_empty(self) -> bool:
        """Whether the client's kernel has all."""
        channel = self._channel
        return channel is None or not (channel.waiting or self.has_spooled)

    def send(self, data: bytes) -> None:
        """Write to the client, now or when it reads on."""
        channel = self._channel
        if not data or channel is None:
            return
        if self.has_spooled:
            self._keep(channel, data)
        elif len(data) <= PIECE and not self.is_paused:
            channel.write(data)
        else:
            at = 0
            while at < len(data) and not self.is_paused:
                channel.write(data[at : at + PIECE])
                at += PIECE
            if at < len(data):
                self._keep(channel, data[at:])

    def pause(self) -> None:
        """Write no more, and read no more."""
        self.is_paused = True
        if self._channel is not None:
            self._channel.pause_reading()

    def resume(self) -> None:
        """Go on with what waits."""
        self.is_paused = False
        channel, spool = self._channel, self._spool
        if channel is None:
            return
        while spool and not self.is_paused:
            channel.write(spool.take())
        if not self.is_paused:
            channel.resume_reading()

    def is_stuck(self, now: float, send_s: float) -> bool:
        """Return whether the client has taken nothing for that long."""
        left = 0 if self._channel is None else self._channel.waiting
        if not left or left != self._left:
            self._left = left
            self._taken_at = now
            return False
        return now - self._taken_at >= send_s

    def close(self) -> None:
        """Forget what waits: the channel is no more."""
        self._channel = None
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def _keep(self, channel: Channel, data: bytes) -> None:
        try:
            if self._spool is None:
                self._spool = ReplySpool(self._quota)
            self._spool.write(data)
        except OSError as error:
            logger.error("reply spool: %s; the client is cut off", error)  # noqa: TRY400
            channel.abort()

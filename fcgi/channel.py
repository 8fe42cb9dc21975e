"""Connections of clients: sockets that never block, watched by one epoll of ours.

The event loop watches the epoll only, so what many connections have sent is taken in
one pass and without a callback of the loop for each; and a fresh connection, which is
what web servers make for each request unless they are told to keep it, costs three
system calls and no task. To its owner a channel is what a transport of asyncio is.
"""

# Impure, compiled.

import asyncio
import os
import select
import socket
import struct
from typing import Final, Protocol

from luafarm.wire.outgoing import Outgoing

_EVENTS: Final = 64  # connections looked at before the loop's other work
_READ_BYTES: Final = 64 << 10
_IN: Final = int(select.EPOLLIN)
_OUT: Final = int(select.EPOLLOUT)
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER, for no time
_GONE: Final = int(select.EPOLLHUP | select.EPOLLERR)


class Owner(Protocol):
    """Who is told what happens on a channel."""

    def data_received(self, data: bytes) -> None:
        """Take bytes; none after `Channel.postpone`."""

    def eof_received(self) -> None:
        """Take note that nothing more will come; the other half stays open."""

    def pause_writing(self) -> None:
        """Write no more: more waits than should."""

    def resume_writing(self) -> None:
        """Write again."""

    def connection_lost(self) -> None:
        """Let go; nothing is told after this."""


class Channels:
    """All connections of a front."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.epoll = select.epoll()
        self.open: dict[int, Channel] = {}  # by descriptor
        loop.add_reader(self.epoll.fileno(), self.attend)

    def attend(self) -> None:
        """Attend to what is ready."""
        channels = self.open
        for fd, events in self.epoll.poll(0, _EVENTS):
            channel = channels.get(fd)  # one before it may have closed this one
            if channel is not None:
                channel.attend(events)

    def close(self) -> None:
        """Close what is still open without a word, and the watch."""
        for fd in self.open:
            os.close(fd)
        self.open.clear()
        self.loop.remove_reader(self.epoll.fileno())
        self.epoll.close()


class Channel:
    """One connection."""

    def __init__(
        self, channels: Channels, sock: socket.socket, owner: Owner, high: int
    ) -> None:
        """Take a connected socket over; high: bytes waiting at which to pause."""
        self.is_unix = sock.family == socket.AF_UNIX
        sock.setblocking(False)
        self.fd = sock.detach()
        self.is_closing = False  # nothing more is read, and no owner's word is taken
        self._channels = channels
        self._owner = owner
        self._high = high
        self._out = Outgoing(self.fd)
        self._is_paused = False  # the owner was told to write no more
        self._is_reading = True
        self._is_ended = False  # the client has sent its last
        self._is_postponed = False  # the owner is not done with what came
        self._is_finishing = False  # our half ends when all is written
        self._mask = _IN
        channels.open[self.fd] = self
        channels.epoll.register(self.fd, _IN)

    @property
    def waiting(self) -> int:
        """Bytes that the client has not taken."""
        return self._out.waiting

    def attend(self, events: int) -> None:
        """Read and write as the socket allows."""
        if events & _OUT:
            self._flush()
        if events & _IN and self._mask & _IN and not self.is_closing:
            self._read()
        elif events & _GONE:
            self._lose()

    def write(self, data: bytes) -> None:
        """Send bytes, now or when the client takes them."""
        if self.is_closing or not data:
            return
        try:
            self._out.send(data)
        except OSError:
            self._lose()
            return
        if not self.waiting:
            return
        self._watch()
        if self.waiting > self._high and not self._is_paused:
            self._is_paused = True
            self._owner.pause_writing()

    def write_eof(self) -> None:
        """End our half of the connection once all is written."""
        self._is_finishing = True
        if not self.waiting and not self.is_closing:
            self._finish()

    def pause_reading(self) -> None:
        """Take nothing from the client until `resume_reading`."""
        self._is_reading = False
        self._watch()

    def resume_reading(self) -> None:
        """Take what the client sends again."""
        self._is_reading = True
        self._watch()

    def postpone(self) -> None:
        """Have the owner go on in the loop's next pass, before more is read."""
        if not self._is_postponed:
            self._is_postponed = True
            self._watch()
            self._channels.loop.call_soon(self._go_on)

    def close(self) -> None:
        """Close once all is written; take nothing more."""
        if self.is_closing:
            return
        self.is_closing = True
        if self.waiting:
            self._watch()
        else:
            self._let_go()

    def abort(self) -> None:
        """Close now; what waits is dropped."""
        self._lose()

    def reset(self) -> None:
        """Close now in a way that is no orderly end: the client sees what it misses."""
        if self.fd in self._channels.open:
            with socket.socket(fileno=os.dup(self.fd)) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._lose()

    def has_hung_up(self) -> bool:
        """Return whether the client closed both halves; only UNIX sockets can tell."""
        if not self.is_unix:
            return False
        poller = select.poll()
        poller.register(self.fd, 0)
        return any(mask & select.POLLHUP for _, mask in poller.poll(0))

    def leave(self) -> None:
        """Close this descriptor of a connection that lives on in another process."""
        self._channels.epoll.unregister(self.fd)  # else it would be watched for ever
        self._lose()

    def _go_on(self) -> None:
        self._is_postponed = False
        if not self.is_closing:
            self._owner.data_received(b"")
            self._watch()

    def _read(self) -> None:
        try:
            data = os.read(self.fd, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._lose()
            return
        if data:
            self._owner.data_received(data)
            return
        self._is_ended = True
        self._watch()
        self._owner.eof_received()

    def _flush(self) -> None:
        try:
            is_done = self._out.flush()
        except OSError:
            self._lose()
            return
        if is_done and self.is_closing:
            self._let_go()
            return
        if is_done and self._is_finishing:
            self._finish()
        self._watch()
        if self._is_paused and not self.is_closing and self.waiting <= self._high // 4:
            self._is_paused = False
            self._owner.resume_writing()

    def _finish(self) -> None:
        sock = socket.socket(fileno=os.dup(self.fd))
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._lose()
        finally:
            sock.close()

    def _watch(self) -> None:
        """Have the epoll look for what is wanted now."""
        mask = _OUT if self.waiting else 0
        if self._is_reading and not (
            self._is_ended or self._is_postponed or self.is_closing
        ):
            mask |= _IN
        if mask != self._mask and self.fd in self._channels.open:
            self._mask = mask
            self._channels.epoll.modify(self.fd, mask)

    def _lose(self) -> None:
        self.is_closing = True
        self._out.clear()
        self._let_go()

    def _let_go(self) -> None:
        """Close the descriptor; the owner hears of it in the loop's next pass."""
        channels = self._channels
        if channels.open.pop(self.fd, None) is not None:
            os.close(self.fd)
            channels.loop.call_soon(self._owner.connection_lost)

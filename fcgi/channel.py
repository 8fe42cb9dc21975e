"""Connections of clients: sockets that never block, watched by one epoll of ours.

The event loop watches the epoll only, so what many connections have sent is taken in
one pass and without a callback of the loop for each; and a fresh connection, which is
what web servers make for each request unless they are told to keep it, costs three
system calls and no task. To its owner a channel is what a transport of asyncio is.

A reply that is cut short must not look whole, also when this process is killed; but a
web server may take a mere end of the connection for the end of the reply. So where a
reply could be on its way the kernel resets the connection whenever its descriptor is
closed without more ado:

- A UNIX socket is reset if something that came lies unread in it. So what comes is
  looked at (MSG_PEEK) and left there, and taken out only when it has become much, or
  right before the orderly end of the connection. That is as many system calls as
  reading would be, but for one more in some twenty requests of a kept connection.
- A TCP socket is reset if it is told so (SO_LINGER for no time). It is told when a
  reply is sent in parts or is not taken at once, and never for a small one. A reset
  drops what was not sent yet, so before an orderly end it is told the contrary.
"""

# Impure, compiled.

import asyncio
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
_ORDERLY: Final = struct.pack("ii", 0, 0)
_GONE: Final = int(select.EPOLLHUP | select.EPOLLERR)
_OVER: Final = int(select.EPOLLHUP | select.EPOLLRDHUP)
_NEWS: Final = int(select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)
"""What is watched for where all that came is left unread: only that more came."""

_NOW: Final = int(socket.MSG_DONTWAIT)
_LOOK: Final = int(socket.MSG_DONTWAIT | socket.MSG_PEEK)
_SO_PEEK_OFF: Final = (
    42  # bytes that MSG_PEEK passes over; the module has no name for it
)
_MUCH: Final = 16 << 10
"""Bytes left unread. They count as sent and not taken at the other end, which may not
send above some 50 KiB (by what they occupy, more than twice as much as they are)."""

_BULK: Final = 4 << 10  # at once: no usual head, so it does not have to be cheap


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

    def attend_to_all(self) -> None:
        """Attend to what is ready by now, once, however many there are."""
        # what is ready still goes to the end of the kernel's list
        for _ in range(len(self.open) // _EVENTS + 1):
            self.attend()

    def close(self) -> None:
        """Close what is still open without a word, and the watch."""
        for channel in self.open.values():
            channel.shut()
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
        self.fd = sock.fileno()
        self.is_closing = False  # nothing more is read, and no owner's word is taken
        self._sock = sock
        self._recv = sock.recv  # looked up once: it is called for every request
        self._channels = channels
        self._owner = owner
        self._high = high
        self._out = Outgoing(self.fd)
        self._is_paused = False  # the owner was told to write no more
        self._is_reading = True
        self._is_ended = False  # the client has sent its last
        self._is_postponed = False  # the owner is not done with what came
        self._is_finishing = False  # our half ends when all is written
        self._held = 0  # bytes that the owner has, left unread in a UNIX socket
        self._passes_over = False  # MSG_PEEK does, what is held
        self._is_guarded = False  # a TCP socket is reset if nothing else is said
        self._does_block = True  # until it is used again, or not all is taken at once
        self._is_fresh = True  # nothing has come
        self._mask = self._wanted = _NEWS if self.is_unix else _IN
        channels.open[self.fd] = self
        channels.epoll.register(self.fd, self._mask)

    @property
    def waiting(self) -> int:
        """Bytes that the client has not taken."""
        return self._out.waiting

    def attend(self, events: int) -> None:
        """Read and write as the socket allows."""
        if events & _OUT:
            self._flush()
        if events & _IN and self._mask & _IN and not self.is_closing:
            if self.is_unix:
                self._look(events)
            else:
                self._read()
        elif events & _GONE:
            self._lose()

    def write(self, data: bytes) -> None:
        """Send bytes, now or when the client takes them."""
        if self.is_closing or not data:
            return
        try:
            if self._does_block:
                data = self._send_first(data)
                if data:
                    self._out.put(data)
            else:
                self._out.send(data)
        except OSError:
            self._lose()
            return
        if not self.waiting:
            return
        self.guard()
        self._watch()
        if self.waiting > self._high and not self._is_paused:
            self._is_paused = True
            self._owner.pause_writing()

    def _send_first(self, data: bytes) -> bytes:
        """Write to a fresh connection; return what it does not take at once."""
        try:
            sent = self._sock.send(data, _NOW)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._unblock()
        return data[sent:]

    def _unblock(self) -> None:
        """Have a connection that is used again not wait, whatever is called."""
        self._does_block = False
        self._sock.setblocking(False)

    def guard(self) -> None:
        """Have the kernel reset the connection, unless `close` ends it.

        To be called before a reply is sent in parts; one that is not taken at once is
        guarded anyway.
        """
        if not self._is_guarded and not self.is_unix and not self.is_closing:
            self._is_guarded = True
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def calm(self) -> None:
        """Have an end of the connection look orderly: it is at rest, or all is said."""
        if self._is_guarded:
            self._is_guarded = False
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ORDERLY)
        self.swallow(0)

    def swallow(self, keep: int) -> None:
        """Take out of the kernel what the owner has; keep: bytes to leave.

        To be called with 0 when the owner waits for more, so that nothing keeps the
        client from sending it.
        """
        held = self._held
        self._held = min(held, keep)
        while held > keep:
            try:
                held -= len(self._recv(held - keep, _NOW)) or held
            except OSError:  # it is broken, which reading on will tell
                return

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
            self.calm()
            self._let_go()

    def abort(self) -> None:
        """Close now, by a reset that the client sees; what waits is dropped."""
        self.guard()
        self._lose()

    def shut(self) -> None:
        """Let go of the descriptor; nobody is told."""
        self._sock.close()

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
            data = self._recv(_READ_BYTES, _NOW)
        except BlockingIOError:
            return
        except OSError:
            self._lose()
            return
        if not data:
            self._end()
            return
        if self._is_fresh:
            self._is_fresh = False
        elif self._does_block:
            self._unblock()
        self._owner.data_received(data)

    def _look(self, events: int) -> None:
        """Read, and leave what is read in the kernel; see above."""
        if self._held:
            if self._held >= _MUCH:
                self.swallow(1)
            if self._does_block:
                self._unblock()
            if not self._passes_over:
                self._pass_over()
        try:
            data = self._recv(_READ_BYTES, _LOOK)
        except BlockingIOError:
            return
        except OSError:
            self._lose()
            return
        size = len(data)
        if not size:
            self._end()
            return
        self._held += size
        self._owner.data_received(data)
        if size >= _BULK:
            self.swallow(1)
        if size == _READ_BYTES or events & _OVER:
            self._look_again()

    def _pass_over(self) -> None:
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, self._held)
            self._passes_over = True
        except OSError:  # not Linux itself, but what stands in for it
            self.swallow(0)

    def _look_again(self) -> None:
        """Be told once more of what has been there all the time."""
        if self._mask & _IN and self.fd in self._channels.open:
            self._channels.epoll.modify(self.fd, self._mask)

    def _end(self) -> None:
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
            self.calm()
            self._let_go()
            return
        if is_done and self._is_finishing:
            self._finish()
        self._watch()
        if self._is_paused and not self.is_closing and self.waiting <= self._high // 4:
            self._is_paused = False
            self._owner.resume_writing()

    def _finish(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._lose()

    def _watch(self) -> None:
        """Have the epoll look for what is wanted now."""
        mask = _OUT if self.waiting else 0
        if self._is_reading and not (
            self._is_ended or self._is_postponed or self.is_closing
        ):
            mask |= self._wanted
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
            self._sock.close()
            channels.loop.call_soon(self._owner.connection_lost)

"""A VM host's socket where no keys are wanted: ZMTP in the thread that runs Lua.

A frame that comes wakes that thread and no other, and a reply is in the peer's socket
when `send` returns, so nothing is held back while a script runs.
"""

# Impure, compiled.

import contextlib
import errno
import fcntl
import os
import select
import socket
import time
from collections import deque
from typing import Final

from luafarm.errors import ProtocolError
from luafarm.wire import zmtp
from luafarm.wire.connection import Connection
from vmhost.host.link import LINGER_MS, PATIENCE_S, Sent

MAX_WAITING: Final = 4 << 20  # bytes for a peer that takes nothing; then it is let go
_MAX_EVENTS: Final = 16
_IN_OUT: Final = select.EPOLLIN | select.EPOLLOUT


class ZmtpLink:
    """The connections of a VM host, each under a name of its own."""

    def __init__(self, listen_fd: int) -> None:
        self.is_stopped = False  # somebody called `stop`
        self._is_stopping = False  # the same, as the main thread sees it
        self.dropped = 0
        self._listener = socket.socket(fileno=listen_fd)
        self._peers: dict[bytes, Connection] = {}
        self._names: dict[int, bytes] = {}  # by descriptor
        self._count = 0  # connections so far
        self._inbox: deque[tuple[bytes, bytes, str]] = deque()
        self._stop_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll = select.epoll()
        self._epoll.register(self._stop_fd, select.EPOLLIN)
        self._epoll.register(listen_fd, select.EPOLLIN)
        self._is_listening = True  # else there are no descriptors left

    def stop(self) -> None:
        """End the wait of `receive`; see `Link`."""
        if not self._is_stopping:  # later the descriptor may be closed
            self._is_stopping = True
            os.eventfd_write(self._stop_fd, 1)

    def receive(self, wait_ms: int) -> tuple[bytes, bytes, str] | None:
        """Return a peer, its next frame and no key; None: nothing came."""
        if not self._inbox:
            self._look(wait_ms)
            if not self._inbox:
                return None
        return self._inbox.popleft()

    def has_input(self) -> bool:
        """Return whether `receive` would return at once."""
        if not self._inbox:
            self._look(0)
        return bool(self._inbox)

    def send(self, peer: bytes, frame: bytes) -> Sent:
        """Send one frame; see `Link`.

        It may wait behind others that the peer has not taken. When these are too many
        its connection is ended: so it learns that something is missing, and asks.
        """
        stream = self._peers.get(peer)
        if stream is None:
            return Sent.LOST
        try:
            is_deaf = stream.waiting > 0 and not stream.flush()
            if is_deaf and stream.waiting + len(frame) > MAX_WAITING:
                self._lose(stream)
                return Sent.LOST
            stream.write(frame)
            if is_deaf or not stream.waiting:
                return Sent.YES
            if not self._is_taken(stream, PATIENCE_S):
                self._epoll.modify(stream.fd, _IN_OUT)
        except OSError:
            self._lose(stream)
            return Sent.LOST
        return Sent.YES

    def close(self) -> None:
        """Close the connections; what was sent is with the peers already."""
        for stream in list(self._peers.values()):
            with contextlib.suppress(OSError):  # gone, and what was for it
                self._is_taken(stream, LINGER_MS / 1000)
            self._lose(stream)
        self._epoll.close()
        self._listener.close()
        os.close(self._stop_fd)

    def _look(self, wait_ms: int) -> None:
        """Take what is there, or comes within a time."""
        for fd, events in self._epoll.poll(wait_ms / 1000, _MAX_EVENTS):
            name = self._names.get(fd)
            if name is not None:
                self._attend(name, events)
            elif fd == self._stop_fd:
                os.eventfd_read(fd)
                self.is_stopped = True
            else:
                self._accept()

    def _attend(self, name: bytes, events: int) -> None:
        stream = self._peers[name]
        try:
            if events & select.EPOLLOUT and stream.flush():
                self._epoll.modify(stream.fd, select.EPOLLIN)
            for frame in stream.read():
                self._inbox.append((name, frame, ""))
            if stream.waiting:
                self._epoll.modify(stream.fd, _IN_OUT)
        except BlockingIOError:
            return
        except (OSError, ProtocolError):
            self._lose(stream)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                self._listen(False)
            return
        fd = connection.detach()
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK)  # ioctl is refused here
        self._count += 1
        name = b"%d" % self._count
        stream = Connection(fd, zmtp.ROUTER, zmtp.DEALER)
        self._peers[name] = stream
        self._names[fd] = name
        self._epoll.register(fd, select.EPOLLIN)
        try:
            stream.open()
        except OSError:
            self._lose(stream)

    def _listen(self, wanted: bool) -> None:
        """Look for new connections, or wait until one of the old ones ends."""
        if wanted is not self._is_listening:
            self._is_listening = wanted
            events = select.EPOLLIN if wanted else 0
            self._epoll.modify(self._listener.fileno(), events)

    def _lose(self, stream: Connection) -> None:
        name = self._names.pop(stream.fd)
        del self._peers[name]
        self._epoll.unregister(stream.fd)
        os.close(stream.fd)
        self._listen(True)

    def _is_taken(self, stream: Connection, patience_s: float) -> bool:
        """Wait until a peer has taken what is meant for it; False: it did not."""
        poller = select.poll()
        poller.register(stream.fd, select.POLLOUT)
        end_s = time.monotonic() + patience_s
        while not stream.flush():
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                return False
            poller.poll(left_s * 1000)
        return True

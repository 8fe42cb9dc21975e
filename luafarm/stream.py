"""A ZMTP connection on a socket that never blocks: frames in, frames out.

What the peer does not take at once waits here, in order; the owner bounds it by what
`waiting` says, and calls `flush` when the socket takes more.
"""

import os
from collections import deque
from itertools import islice
from typing import Final

from luafarm import zmtp
from luafarm.zmtp import Session

_READ_BYTES: Final = 128 << 10  # in one look; others wait for their turn meanwhile
_MAX_READ_BYTES: Final = 256 << 10  # what a socket holds, of a frame that has begun
_MAX_PIECES: Final = 64  # in one system call
_JOINED_BYTES: Final = 16 << 10  # less is copied behind its head: cheaper than two


class Stream:
    """One connection. The descriptor belongs to the owner and is not blocking."""

    def __init__(self, fd: int, own: bytes, other: bytes) -> None:
        """own, other: the types of the sockets, `zmtp.DEALER` and `zmtp.ROUTER`."""
        self.fd = fd
        self.waiting = 0  # bytes that were not taken yet
        self._session = Session(own, other)
        self._out: deque[bytes] = deque()

    @property
    def is_ready(self) -> bool:
        """Whether the handshake is over."""
        return self._session.is_ready

    def open(self) -> None:
        """Send what begins the handshake. Raise OSError when the connection is lost."""
        self._send(self._session.opening())

    def read(self) -> list[bytes]:
        """Return the frames that have come in, after one look.

        Raise OSError when the connection is lost or over, BlockingIOError among them
        when nothing is there; ProtocolError when the peer does not speak ZMTP.
        """
        session = self._session
        size = min(max(session.wanted, _READ_BYTES), _MAX_READ_BYTES)
        data = os.read(self.fd, size)
        if not data:
            raise ConnectionResetError("closed by the peer")
        frames = session.receive(data)
        if session.answers:
            answers, session.answers = session.answers, b""
            self._send(answers)
        return frames

    def write(self, frame: bytes) -> None:
        """Send a message of one frame; what is not taken waits. Raise OSError."""
        head = zmtp.head(len(frame))
        if len(frame) < _JOINED_BYTES:
            self._send(head + frame)
            return
        was_empty = not self.waiting
        self._keep(head)
        self._keep(frame)
        if was_empty:
            self.flush()

    def flush(self) -> bool:
        """Send what waits as far as the socket takes it; True: nothing is left.

        Raise OSError when the connection is lost.
        """
        out = self._out
        while out:
            try:
                sent = os.writev(self.fd, list(islice(out, _MAX_PIECES)))
            except BlockingIOError:
                return False
            self.waiting -= sent
            while sent:
                piece = out.popleft()
                if sent < len(piece):
                    out.appendleft(piece[sent:])
                    break
                sent -= len(piece)
        return True

    def _send(self, data: bytes) -> None:
        if self.waiting:
            self._keep(data)
            return
        try:
            sent = os.write(self.fd, data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._keep(data[sent:])

    def _keep(self, data: bytes) -> None:
        self._out.append(data)
        self.waiting += len(data)

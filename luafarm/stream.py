"""A ZMTP connection on a socket that never blocks: frames in, frames out.

What the peer does not take at once waits here, in order; the owner bounds it by what
`waiting` says, and calls `flush` when the socket takes more.
"""

import os
from typing import Final

from luafarm import zmtp
from luafarm.outgoing import Outgoing
from luafarm.zmtp import Session

_READ_BYTES: Final = 128 << 10  # in one look; others wait for their turn meanwhile
_MAX_READ_BYTES: Final = 256 << 10  # what a socket holds, of a frame that has begun
_JOINED_BYTES: Final = 16 << 10  # less is copied behind its head: cheaper than two


class Stream:
    """One connection. The descriptor belongs to the owner and is not blocking."""

    def __init__(self, fd: int, own: bytes, other: bytes) -> None:
        """own, other: the types of the sockets, `zmtp.DEALER` and `zmtp.ROUTER`."""
        self.fd = fd
        self._session = Session(own, other)
        self._out = Outgoing(fd)

    @property
    def is_ready(self) -> bool:
        """Whether the handshake is over."""
        return self._session.is_ready

    @property
    def waiting(self) -> int:
        """Bytes that the peer has not taken yet."""
        return self._out.waiting

    def open(self) -> None:
        """Send what begins the handshake. Raise OSError when the connection is lost."""
        self._out.send(self._session.opening())

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
            self._out.send(answers)
        return frames

    def write(self, frame: bytes) -> None:
        """Send a message of one frame; what is not taken waits. Raise OSError."""
        head = zmtp.head(len(frame))
        if len(frame) < _JOINED_BYTES:
            self._out.send(head + frame)
            return
        was_empty = not self._out.waiting
        self._out.put(head)
        self._out.put(frame)
        if was_empty:
            self._out.flush()

    def flush(self) -> bool:
        """Send what waits as far as the socket takes it; True: nothing is left.

        Raise OSError when the connection is lost.
        """
        return self._out.flush()

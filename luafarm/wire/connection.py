"""A ZMTP connection on a socket that never blocks: frames in, frames out.

What the peer does not take at once waits here, in order; the owner bounds it by what
`waiting` says, and calls `flush` when the socket takes more.
"""

# Compiled.

import os
from typing import Final

from luafarm.errors import ProtocolError
from luafarm.wire import zmtp
from luafarm.wire.codec import MAX_FRAME
from luafarm.wire.outgoing import Outgoing
from luafarm.wire.zmtp import MANY, Session

_READ_BYTES: Final = 128 << 10  # in one look; others wait for their turn meanwhile
_MAX_READ_BYTES: Final = 256 << 10  # what a socket holds, of a frame that has begun
MAX_ANSWERS: Final = 4 << 10
"""Bytes of answers to PINGs that a peer may leave waiting: who asks has to listen."""

_JOINED_BYTES: Final = 16 << 10  # less is copied behind its head: cheaper than two


class Connection:
    """One connection. The descriptor belongs to the owner and is not blocking."""

    def __init__(
        self, fd: int, own: bytes, other: bytes, max_frame: int = MAX_FRAME
    ) -> None:
        """own, other: the types of the sockets, `zmtp.DEALER` and `zmtp.ROUTER`.

        max_frame: bytes; a longer one is refused as soon as it is announced.
        """
        self.fd = fd
        self.written = 0  # bytes for the peer, ever, whether it took them or not
        self._session = Session(own, other, max_frame)
        self._out = Outgoing(fd)
        self._unanswered = 0  # bytes of answers among those that wait

    @property
    def is_ready(self) -> bool:
        """Whether the handshake is over."""
        return self._session.is_ready

    @property
    def waiting(self) -> int:
        """Bytes that the peer has not taken yet."""
        return self._out.waiting

    @property
    def has_more(self) -> bool:
        """Whether `read` has something to look through without a look at the socket."""
        return self._session.has_more

    def take_commands(self) -> int:
        """Return how many commands the peer has sent since this was asked last."""
        commands, self._session.commands = self._session.commands, 0
        return commands

    def open(self) -> None:
        """Send what begins the handshake. Raise OSError when the connection is lost."""
        opening = self._session.opening()
        self.written += len(opening)
        self._out.send(opening)

    def read(self, most: int = MANY) -> list[bytes]:
        """Return the frames that have come in, after one look.

        most: frames and commands; `has_more` tells if there are others. Raise OSError
        when the connection is lost or over, BlockingIOError among them when nothing is
        there; ProtocolError when the peer does not speak ZMTP, or does not listen.
        """
        session = self._session
        if session.has_more:
            frames = session.receive(b"", most)
        else:
            size = min(max(session.wanted, _READ_BYTES), _MAX_READ_BYTES)
            data = os.read(self.fd, size)
            if not data:
                raise ConnectionResetError("closed by the peer")
            frames = session.receive(data, most)
        if session.answers:
            self._answer()
        return frames

    def write(self, frame: bytes) -> None:
        """Send a message of one frame; what is not taken waits. Raise OSError."""
        head = zmtp.head(len(frame))
        self.written += len(head) + len(frame)
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

    def _answer(self) -> None:
        session, out = self._session, self._out
        answers, session.answers = session.answers, b""
        if not out.waiting:
            self._unanswered = 0
        self._unanswered += len(answers)
        if self._unanswered > MAX_ANSWERS:
            raise ProtocolError(
                f"PINGs whose {self._unanswered} bytes of answers are not taken; "
                f"the limit is {MAX_ANSWERS}"
            )
        self.written += len(answers)
        out.send(answers)

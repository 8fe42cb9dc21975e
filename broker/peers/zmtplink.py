"""The broker's connection to a VM host of this machine that wants no key: ZMTP by hand.

libzmq bounds what waits by messages, not by bytes, and takes a message of many parts
without any bound, so a VM host that was taken over could fill the broker. Here every
frame is judged by its head, what is not read stays in the host's own socket, and a
connection that ends is noticed: it is not made again, as the host ends with it.
"""

# Impure.

import contextlib
import os
import socket
from collections import deque
from typing import Final

from luafarm.errors import ProtocolError
from luafarm.wire import zmtp
from luafarm.wire.connection import Connection

IPC: Final = "ipc://"
MAX_UNSENT: Final = 4 << 20  # bytes of orders that a host has not taken: it has enough
_LOOK: Final = 64  # frames and commands of one look
MOST_COMMANDS: Final = 64
"""Commands in one look: nobody pings a broker that does not ping."""


class ZmtpLink:
    """One DEALER that never blocks."""

    def __init__(self, endpoint: str, max_frame: int) -> None:
        """Connect, now or when `open` is called and somebody listens there."""
        self._path = endpoint.removeprefix(IPC)
        self._max_frame = max_frame
        self._stream: Connection | None = None
        self._frames: deque[bytes] = deque()
        self.is_lost = False
        self.open()

    @property
    def handle(self) -> int:
        """What is to be polled, -1 when nothing is."""
        return self._stream.fd if self._stream is not None else -1

    @property
    def unsent(self) -> int:
        """Bytes that the host has not taken yet."""
        return self._stream.waiting if self._stream is not None else 0

    @property
    def has_more(self) -> bool:
        """Whether `receive` has something without a look at the socket."""
        if self._stream is None:
            return False
        return bool(self._frames) or self._stream.has_more

    @property
    def is_ready(self) -> bool:
        """Whether it may be spoken to: ROUTERs of libzmq hear nothing before READY."""
        return self._stream is not None and self._stream.is_ready

    def open(self) -> bool:
        """Connect unless that was done; return whether there is a connection."""
        if self._stream is not None or self.is_lost:
            return not self.is_lost
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            sock.connect(self._path)
            stream = Connection(
                sock.fileno(), zmtp.DEALER, zmtp.ROUTER, max_frame=self._max_frame
            )
            stream.open()
        except OSError:
            sock.close()
            return False
        sock.detach()
        self._stream = stream
        return True

    def send(self, frame: bytes) -> bool:
        """Send a frame; False when the host is gone or takes no more."""
        stream = self._stream
        if stream is None or not stream.is_ready or stream.waiting > MAX_UNSENT:
            return False
        with contextlib.suppress(OSError):  # what it said before is still to be read
            stream.write(frame)
            return True
        return False

    def flush(self) -> None:
        """Send what waits as far as the host takes it."""
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream.flush()

    def receive(self) -> bytes | None:
        """Return the next frame, or None when there is none.

        Raise ProtocolError when the host does not speak ZMTP, or does nothing else.
        """
        if not self._frames:
            self._look()
        return self._frames.popleft() if self._frames else None

    def _look(self) -> None:
        stream = self._stream
        if stream is None:
            return
        try:
            self._frames.extend(stream.read(_LOOK))
        except BlockingIOError:
            return
        except OSError:
            self.close()
            self.is_lost = True
            return
        commands = stream.take_commands()
        if commands >= MOST_COMMANDS:
            raise ProtocolError(
                f"{commands} commands at once; the limit is {MOST_COMMANDS - 1}"
            )

    def close(self) -> None:
        """End the connection; what was not sent is dropped."""
        stream, self._stream = self._stream, None
        self._frames.clear()
        if stream is not None:
            os.close(stream.fd)

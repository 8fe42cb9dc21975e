"""How much has come in on a TCP connection that libzmq reads, as the kernel counts it.

libzmq keeps the frames of a message until the last is there, and bounds neither how
many they are nor how much: a peer that never ends its message fills the process, and
nothing of it is seen here. What the kernel has received since the last frame that was
handed over tells: an honest peer is never further ahead than a frame and what sockets
hold.
"""

# Impure.

import contextlib
import os
import socket
import sys
from typing import Final

AHEAD_BYTES: Final = 16 << 20  # what sockets and libzmq hold besides one frame
IDLE_RATE: Final = 1024  # bytes a second of what is no message: heartbeats

_INFO_BYTES: Final = 136
_RECEIVED_AT: Final = 128  # tcpi_bytes_received in struct tcp_info (linux/tcp.h)


class Received:
    """One connection; its descriptor is a second one for the same socket."""

    def __init__(self, fd: int, port: int) -> None:
        """fd: as libzmq says it, maybe of another by now. Raise OSError: it is."""
        self._socket = socket.socket(fileno=os.dup(fd))
        self._frames = -1  # that had been handed over at the last look
        self._base = 0  # bytes at that time
        self._since = 0.0
        try:
            peer = self._socket.getpeername()
            if not isinstance(peer, tuple) or peer[1] != port:
                raise ConnectionError(f"no connection to port {port}")
        except OSError:
            self.close()
            raise

    def unheard(self, frames: int, now: float) -> int:
        """Return the bytes that came since the last frame, besides heartbeats.

        frames: how many have been handed over until now.
        """
        received = self._received()
        if frames != self._frames:
            self._frames, self._base, self._since = frames, received, now
        return received - self._base - int(IDLE_RATE * (now - self._since))

    def close(self) -> None:
        """Let go of the connection."""
        self._socket.close()

    def _received(self) -> int:
        with contextlib.suppress(OSError):  # it has ended
            info = self._socket.getsockopt(
                socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES
            )
            return int.from_bytes(info[_RECEIVED_AT:], sys.byteorder)
        return self._base

"""Bytes on their way out of a socket that never blocks: first in, first out."""

# Compiled.

import os
from collections import deque
from itertools import islice
from typing import Final

_MAX_PIECES: Final = 64  # in one system call


class Outgoing:
    """What a socket has not taken yet. The descriptor belongs to the owner."""

    def __init__(self, fd: int) -> None:
        self.waiting = 0  # bytes
        self._fd = fd
        self._pieces: deque[bytes] = deque()

    def send(self, data: bytes) -> None:
        """Write what the socket takes at once; the rest waits. Raise OSError."""
        if not self.waiting:
            try:
                sent = os.write(self._fd, data)
            except BlockingIOError:
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
        self.put(data)

    def put(self, data: bytes) -> None:
        """Have bytes wait for `flush`."""
        self._pieces.append(data)
        self.waiting += len(data)

    def flush(self) -> bool:
        """Write what waits as far as the socket takes it; True: nothing is left.

        Raise OSError when the connection is lost.
        """
        pieces = self._pieces
        while pieces:
            try:
                sent = os.writev(self._fd, list(islice(pieces, _MAX_PIECES)))
            except BlockingIOError:
                return False
            self.waiting -= sent
            while sent:
                piece = pieces.popleft()
                if sent < len(piece):
                    pieces.appendleft(piece[sent:])
                    break
                sent -= len(piece)
        return True

    def clear(self) -> None:
        """Forget what waits."""
        self._pieces.clear()
        self.waiting = 0

"""Where log lines go: a descriptor that may be full, and must hold up nobody.

A pipe or a terminal that nobody reads fills, and a write to it waits for as long as
nobody reads. A process that waits there answers nobody, and would be killed for it
(`luafarm.process.pulse`). What has a reader is written to without waiting, which takes
a description of its own: standard error belongs to others as well. When it is full, a
line waits PATIENCE_S for somebody to read; from then on lines are left out and counted
until one finds room again.

A file is written as it is: a disk has no reader.
"""

# Impure.

import contextlib
import os
import select
import socket
import stat
import time
from typing import Final

PATIENCE_S: Final = 0.5


class Sink:
    """Writes whole lines to a descriptor, or leaves them out."""

    def __init__(self, fd: int) -> None:
        """fd: stays the caller's, who may put another file in its place (dup2)."""
        self.left_out = 0  # lines, since the last that was written
        self._fd = fd
        self._own = -1  # what was opened here
        self._socket: socket.socket | None = None
        self._rest = b""  # of a line that was begun
        self._is_full = False
        with contextlib.suppress(OSError):  # then it is written as it is
            self._open()

    def write(self, line: bytes) -> None:
        """Write a line; one that has no room is counted in `left_out`."""
        self._rest = self._push(self._rest)
        left = line if self._rest else self._push(line)
        if len(left) == len(line):
            self.left_out += 1
        else:
            self.left_out = 0
            self._rest = left

    def close(self) -> None:
        """Close what was opened here."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._own >= 0:
            os.close(self._own)
            self._own = -1

    def _open(self) -> None:
        mode = os.fstat(self._fd).st_mode
        if not os.get_blocking(self._fd):
            return
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(self._fd))
        elif stat.S_ISFIFO(mode) or os.isatty(self._fd):
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            self._fd = self._own = os.open(f"/proc/self/fd/{self._fd}", flags)

    def _push(self, data: bytes) -> bytes:
        """Write what there is room for; return what is left."""
        deadline = 0.0
        while data:
            try:
                data = data[self._put(data) :]
                self._is_full = False
            except BlockingIOError:
                now = time.monotonic()
                deadline = deadline or now + PATIENCE_S
                if self._is_full or now >= deadline:
                    self._is_full = True
                    return data
                self._wait(deadline - now)
        return data

    def _put(self, data: bytes) -> int:
        try:
            if self._socket is not None:
                return self._socket.send(data, socket.MSG_DONTWAIT)
            return os.write(self._fd, data)
        except BlockingIOError:
            raise
        except OSError:
            return len(data)  # nobody reads ever again: there is nowhere to say so

    def _wait(self, seconds: float) -> None:
        poller = select.poll()
        poller.register(self._fd, select.POLLOUT)
        poller.poll(seconds * 1000.0)

"""The pipe into which a farm logs: read into a file, left unread, or closed."""

import contextlib
import fcntl
import os
import select
import threading
from collections.abc import Iterator
from pathlib import Path

_LEAST_BYTES = 4096  # the smallest pipe there is: it is full after some lines
_USUAL_BYTES = 1 << 16
_F_SETPIPE_SZ = 1031  # linux/fcntl.h
_LOOK_MS = 50


class Output:
    """The reading end, which this object owns."""

    def __init__(self, receiver: int, log: Path) -> None:
        self._receiver = receiver
        self.inode = os.fstat(receiver).st_ino  # of the pipe
        self._log = log
        self._is_closed = threading.Event()
        self._reads = threading.Event()
        self._reads.set()
        log.touch()
        self._thread = threading.Thread(target=self._read_on, daemon=True)
        self._thread.start()

    @property
    def is_open(self) -> bool:
        """Whether what the farm writes arrives anywhere."""
        return self._thread.is_alive() and not self._is_closed.is_set()

    def close(self) -> None:
        """Close it: from now on the farm writes into a broken pipe."""
        self._is_closed.set()
        self._reads.set()
        self._thread.join()

    def join(self, seconds: float | None = None) -> bool:
        """Return whether nobody can write to it any more, or it is closed."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    @contextlib.contextmanager
    def stalled(self) -> Iterator[None]:
        """Read nothing while the block runs."""
        with contextlib.suppress(OSError):  # what is in it may be more
            fcntl.fcntl(self._receiver, _F_SETPIPE_SZ, _LEAST_BYTES)
        self._reads.clear()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                fcntl.fcntl(self._receiver, _F_SETPIPE_SZ, _USUAL_BYTES)
            self._reads.set()

    def _read_on(self) -> None:
        poller = select.poll()
        poller.register(self._receiver, select.POLLIN)
        with self._log.open("ab") as log:
            while not self._is_closed.is_set():
                self._reads.wait()
                if not poller.poll(_LOOK_MS):
                    continue
                data = os.read(self._receiver, _USUAL_BYTES)
                if not data:
                    break
                log.write(data)
                log.flush()
        os.close(self._receiver)

"""Bytes that are too many for memory: unlinked temporary files.

Nothing is buffered on the way to them: who writes is told that the disk is full. What
is written can be read, and closing fails for nobody.
"""

# Impure.

import os
import tempfile
from io import FileIO
from typing import Final

from fcgi.quota import Quota

CHUNK: Final = 256 * 1024


class BodySpool:
    """The streams of one long request body, written once, read by offset."""

    def __init__(self, quota: Quota) -> None:
        self._files = (_temporary(), _temporary())
        self._quota = quota
        self._written = [0, 0]  # bytes, by stream

    def write(self, stream: int, data: bytes) -> None:
        """Append to a stream: 0 STDIN, 1 DATA. Raises OSError when there is no room."""
        _write(self._files[stream], data, self._written[stream], self._quota)
        self._written[stream] += len(data)

    def read(self, stream: int, offset: int, max_bytes: int) -> bytes:
        """Return bytes from an offset, b"" behind the end."""
        return os.pread(self._files[stream].fileno(), max_bytes, offset)

    def close(self) -> None:
        """Give the files back."""
        self._quota.give_back(sum(self._written))
        self._written = [0, 0]
        for file in self._files:
            file.close()


class ReplySpool:
    """First in, first out, for a client that reads more slowly than scripts write."""

    def __init__(self, quota: Quota) -> None:
        self._file = _temporary()
        self._quota = quota
        self._read = 0
        self._written = 0

    def __len__(self) -> int:
        """Return the bytes that wait."""
        return self._written - self._read

    def write(self, data: bytes) -> None:
        """Append. Raises OSError when there is no room."""
        _write(self._file, data, self._written, self._quota)
        self._written += len(data)

    def take(self) -> bytes:
        """Return what comes next, at most CHUNK bytes; b"": nothing waits."""
        piece = os.pread(self._file.fileno(), CHUNK, self._read)
        self._read += len(piece)
        if self._read == self._written:
            self._file.truncate(0)
            self._free()
        return piece

    def close(self) -> None:
        """Give the file back."""
        self._free()
        self._file.close()

    def _free(self) -> None:
        self._quota.give_back(self._written)
        self._read = self._written = 0


def _temporary() -> FileIO:
    return tempfile.TemporaryFile(buffering=0)


def _write(file: FileIO, data: bytes, offset: int, quota: Quota) -> None:
    """Write all of it, or raise OSError: then what follows has the same offset."""
    quota.take(len(data))
    left = memoryview(data)
    try:
        while left:
            written = os.pwrite(file.fileno(), left, offset)
            left = left[written:]
            offset += written
    except OSError:
        quota.give_back(len(data))
        raise

"""Bytes that are too many for memory: unlinked temporary files."""

# Impure.

import tempfile
from typing import BinaryIO, Final

from fcgi.quota import Quota

CHUNK: Final = 256 * 1024


class BodySpool:
    """The streams of one long request body, written once, read by offset."""

    def __init__(self, quota: Quota) -> None:
        self._files = (_temporary(), _temporary())
        self._quota = quota
        self._written = 0

    def write(self, stream: int, data: bytes) -> None:
        """Append to a stream: 0 STDIN, 1 DATA. Raises OSError at the quota."""
        self._quota.take(len(data))
        self._written += len(data)
        self._files[stream].write(data)

    def read(self, stream: int, offset: int, max_bytes: int) -> bytes:
        """Return bytes from an offset, b"" behind the end."""
        file = self._files[stream]
        file.seek(offset)
        return file.read(max_bytes)

    def close(self) -> None:
        """Give the files back."""
        self._quota.give_back(self._written)
        self._written = 0
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
        """Append. Raises OSError at the quota."""
        self._quota.take(len(data))
        start = self._written
        self._written += len(data)
        self._file.seek(start)
        self._file.write(data)

    def take(self) -> bytes:
        """Return what comes next, at most CHUNK bytes; b"": nothing waits."""
        self._file.seek(self._read)
        piece = self._file.read(CHUNK)
        self._read += len(piece)
        if self._read == self._written:
            self._file.seek(0)
            self._file.truncate()
            self._free()
        return piece

    def close(self) -> None:
        """Give the file back."""
        self._free()
        self._file.close()

    def _free(self) -> None:
        self._quota.give_back(self._written)
        self._read = self._written = 0


def _temporary() -> BinaryIO:
    return tempfile.TemporaryFile()

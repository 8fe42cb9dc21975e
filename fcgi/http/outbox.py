"""The rest of a reply: what was answered and its client has not taken yet.

Kept in memory up to `reply_memory`, then in an unlinked temporary file, so that no
script ever waits for a client.
"""

# Impure.

from typing import Final

from fcgi.quota import Quota
from fcgi.spool import ReplySpool

PIECE: Final = 256 * 1024
"""Bytes taken at a time, at most."""


class Outbox:
    """First in, first out; of bytes, not of the pieces in which they came."""

    def __init__(self, quota: Quota, max_memory: int) -> None:
        """quota: of all temporary files; max_memory: bytes."""
        self._quota = quota
        self._max_memory = max_memory
        self._memory = bytearray()  # comes before what is in the spool
        self._spool: ReplySpool | None = None

    def __len__(self) -> int:
        """Return the bytes that wait."""
        return len(self._memory) + self._spooled()

    def put(self, data: bytes) -> None:
        """Append. Raises OSError at the quota; what waits is useless then."""
        if not self._spooled():
            free = self._max_memory - len(self._memory)
            self._memory += data[:free]
            data = data[free:]
            if not data:
                return
        if self._spool is None:
            self._spool = ReplySpool(self._quota)
        self._spool.write(data)

    def take(self) -> bytes:
        """Return what comes next, at most PIECE; b"": nothing waits."""
        if self._memory:
            piece = bytes(self._memory[:PIECE])
            del self._memory[:PIECE]
            return piece
        return b"" if self._spool is None else self._spool.take()

    def close(self) -> None:
        """Forget what waits."""
        self._memory.clear()
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def _spooled(self) -> int:
        return 0 if self._spool is None else len(self._spool)

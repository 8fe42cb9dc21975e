"""Sources that several states were made of, held in memory once.

Modules are shared by many scripts and every state keeps what it was made of, for error
pages and for reading again. Beyond the bounds the oldest are only no longer shared.
"""

from typing import Final

from msgspec.structs import replace

from luafarm.wire.messages import Blob, Load

MAX_SHARED: Final = 2048
MAX_SHARED_BYTES: Final = 32 << 20


class Sources:
    """The sources seen lately, by digest."""

    def __init__(self) -> None:
        self._shared: dict[bytes, bytes] = {}
        self._bytes = 0

    def share(self, digest: bytes, source: bytes) -> bytes:
        """Return the same bytes as one object for all who have them."""
        known = self._shared.pop(digest, None)
        self._bytes += len(source) - len(known or b"")
        if known != source:
            known = source
        self._shared[digest] = known
        while len(self._shared) > MAX_SHARED or self._bytes > MAX_SHARED_BYTES:
            self._bytes -= len(self._shared.pop(next(iter(self._shared))))
        return known

    def share_blob(self, blob: Blob) -> Blob:
        """Return the blob with its source shared."""
        if not blob.source:
            return blob
        return replace(blob, source=self.share(blob.digest, blob.source))

    def share_load(self, load: Load) -> Load:
        """Return the order with all its sources shared."""
        return replace(
            load,
            source=self.share(load.digest, load.source),
            blobs=tuple([self.share_blob(blob) for blob in load.blobs]),
        )

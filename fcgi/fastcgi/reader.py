"""Records in what a web server sends, which is cut anywhere.

`feed` it, then call `next` until it says no; or `pause` before that, and it goes on
from there after the next `feed`, of nothing if need be.
"""

# Compiled.

from typing import Final

from fcgi.fastcgi import records

_HEADER: Final = records.HEADER_BYTES


class Reader:
    """The record that was found last, and the bytes behind it."""

    def __init__(self, now: float) -> None:
        #: the record that `next` has found: its content is data[start:end]
        self.kind = 0
        self.id = 0
        self.data = b""
        self.start = 0
        self.end = 0
        #: why what comes next is no record
        self.fault = ""
        #: `pause` was called before all was looked at
        self.has_more = False
        #: when the record that is not whole began to come; seconds
        self.since = now
        self._now = now
        self._at = 0  # in data: what was not looked at yet
        #: the start of a record that is not whole, shorter than `_needed`
        self._partial = bytearray()
        self._needed = _HEADER
        self._is_fresh = True  # what was fed last begins with a record

    def feed(self, data: bytes, now: float) -> None:
        """Take bytes."""
        self._now = now
        self._is_fresh = not self._partial
        if self.has_more:
            self.has_more = False
            self.data += data
            return
        self._at = 0
        if self._is_fresh:
            self.data = data
            return
        self._partial += data
        if len(self._partial) < self._needed:
            self.data = b""
            return
        self.data = bytes(self._partial)
        self._partial.clear()

    def next(self) -> bool:
        """Find the next record; False: none is whole, or `fault` says why it is none.

        What is not whole is kept.
        """
        data, at = self.data, self._at
        size = len(data)
        needed = _HEADER
        if size - at >= _HEADER:
            content = data[at + 4] << 8 | data[at + 5]
            needed = _HEADER + content + data[at + 6]
            if data[at] == records.VERSION and at + needed <= size:
                self.kind = data[at + 1]
                self.id = data[at + 2] << 8 | data[at + 3]
                self.start = at + _HEADER
                self.end = self.start + content
                self._at = at + needed
                return True
        if at < size:
            if data[at] != records.VERSION:
                self.fault = f"record of version {data[at]}; expected 1"
                return False
            if at or self._is_fresh:
                self.since = self._now
            self._partial += data[at:]
            self._needed = needed
        self.data = b""
        self._at = 0
        return False

    def pause(self) -> None:
        """Look at no more of what came until the next `feed`."""
        if len(self.data) - self._at >= _HEADER:
            self.has_more = True
        else:
            self.next()

    def is_empty(self) -> bool:
        """Return whether nothing waits to be looked at, or to be whole."""
        return not self._partial and not self.has_more

    def is_late(self, due: float) -> bool:
        """Return whether a record that is not whole began to come before this."""
        return bool(self._partial) and self.since <= due

    def forget(self) -> None:
        """Drop what was not looked at, and what is not whole."""
        self.has_more = False
        self.data = b""
        self._at = 0
        self._partial.clear()

    def check(self) -> None:
        """Assert what the attributes promise; for tests."""
        assert len(self._partial) < self._needed or not self._partial
        assert not (self._partial and self.has_more)

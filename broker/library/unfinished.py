"""Which files are not yet what their writers want them to be.

A file that is written in place may be half of what it will be, for as long as its
writer takes: an upload over a slow line rests for seconds. Whether somebody has it open
for writing can be asked of the kernel for files of this process's own user, and of any
by root (`Sources.has_writer`). For others counts what inotify said: a change of which
nobody said that it was closed is not finished.

Both have an end, because some programs never close: a log is appended to for months.
On network file systems the writer may be on another machine; there a file must rest
from one look to the next.
"""

# Impure.

from typing import Final

from broker.library.sources import Sources, trace
from broker.tables import Key

REST_S: Final = 60.0
"""A file that nobody wrote to for this time is taken as it is, whoever has it open:
uploads that stall for longer are given up by their programs, or begun anew."""

LONGEST_S: Final = 300.0
"""And so is one that changed this long ago, however often it was written to since."""

_MOST_BEGUN: Final = 1024


class Unfinished:
    """Changed files that wait for their writers."""

    def __init__(self, sources: Sources, poll_s: float) -> None:
        self._sources = sources
        self._poll_s = poll_s
        #: changed files that are held back, and since when
        self._since: dict[Key, float] = {}
        #: what was at such a path when it was looked at last, where files are polled
        self._rests: dict[Key, bytes] = {}
        #: paths that somebody is done with, says inotify, since they were looked at
        self._put: set[Key] = set()
        #: files that were created and not closed yet, the oldest first
        self._begun: dict[bytes, float] = {}

    def __len__(self) -> int:
        """Return the number of changes that are held back."""
        return len(self._since)

    def keys(self) -> list[Key]:
        """Return the changed paths that are held back."""
        return list(self._since)

    # -- what inotify says -------------------------------------------------------------

    def begun(self, path: bytes, now: float) -> None:
        """Note that a file was created and will be closed."""
        self._begun.pop(path, None)
        self._begun[path] = now
        if len(self._begun) > _MOST_BEGUN:
            del self._begun[next(iter(self._begun))]

    def ended(self, path: bytes) -> None:
        """Note that somebody is done with a file: closed, moved or removed it."""
        self._begun.pop(path, None)

    def put(self, key: Key) -> None:
        """Note that somebody is done with what is on the way to a followed path."""
        self._put.add(key)

    def settled(self, key: Key) -> None:
        """Note that nothing of this path is held back any more."""
        self._since.pop(key, None)
        self._rests.pop(key, None)
        self._put.discard(key)

    # -- what is to be known ---------------------------------------------------------

    def holds_back(self, key: Key, now: float, *, is_polled: bool) -> bool:
        """Say whether a changed file is to be left alone for now."""
        since = self._since.setdefault(key, now)
        if now - since >= LONGEST_S or self._has_rested(key[1], REST_S):
            return False
        has_writer = self._sources.has_writer(key[1])
        if has_writer:
            return True
        if key in self._put:
            return False
        if is_polled:
            return not self._has_rested(key[1], self._poll_s) and self._moves(key)
        return has_writer is None

    def is_open(self, key: Key) -> bool:
        """Say whether somebody is still writing a file."""
        if self._has_rested(key[1], REST_S):
            return False
        has_writer = self._sources.has_writer(key[1])
        if has_writer is not None:
            return has_writer
        return key in self._since or key[1] in self._begun

    def _has_rested(self, path: bytes, for_s: float) -> bool:
        return not self._sources.is_young(path, for_s)

    def _moves(self, key: Key) -> bool:
        """Say whether a file has changed since it was looked at last."""
        before, now = self._rests.get(key), trace(key[1])
        self._rests[key] = now
        return before != now

"""Paths without a script of which fronts were told, and will be when one comes.

Each waits for its barrier: the first component on its way that is no directory, be it
absent or something else. However long a path is, nothing behind the barrier can be
there before the barrier has changed; so it alone is watched.

Visitors choose these paths, so they are bounded in number, in bytes and in directories
to watch. The oldest is forgotten first, and fronts are told to ask again.
"""

# Compiled.

from typing import Final

from broker.actions import Action, UnwatchBarrier, WatchBarrier
from broker.events import Barrier

MOST_BYTES: Final = 4 << 20
"""Of all remembered paths with their barriers; 4,096 paths of usual length fit."""

MOST_DIRECTORIES: Final = 1024
"""Directories in which barriers are: each costs watches, of which a system has 8,192
or more in all."""

_ENTRY_BYTES: Final = 700
"""What a path costs besides its text, here and in the watcher (measured)."""


class Missing:
    """Requested paths that mean no script, with what keeps them from meaning one."""

    def __init__(self, limit: int, most_bytes: int = MOST_BYTES) -> None:
        self._limit = limit
        self._most_bytes = most_bytes
        #: barrier by requested path, the oldest first
        self._barriers: dict[bytes, bytes] = {}
        #: all and only these barriers, with the paths that wait for each
        self._paths: dict[bytes, dict[bytes, None]] = {}
        #: number of barriers by the directory that they are in
        self._directories: dict[bytes, int] = {}
        self._bytes = 0

    def __len__(self) -> int:
        """Return the number of remembered paths."""
        return len(self._barriers)

    def __contains__(self, asked: bytes) -> bool:
        """Say whether fronts were told that there is no script at this path."""
        return asked in self._barriers

    def remember(
        self, asked: bytes, barrier: Barrier | None, out: list[Action]
    ) -> list[bytes]:
        """Remember this path; return those that fronts must forget.

        barrier: None when no file can ever make it a script; then fronts alone
        remember it.
        """
        if barrier is None:
            return []
        if not self._limit:
            return [asked]
        if self._barriers.get(asked) == barrier.path:
            return []
        self.forget(asked, out)
        waiting = self._paths.get(barrier.path)
        if waiting is None:
            waiting = self._paths[barrier.path] = {}
            self._bytes += len(barrier.path)
            at = _directory(barrier.path)
            self._directories[at] = self._directories.get(at, 0) + 1
            out.append(WatchBarrier(barrier.path, barrier.seen))
        waiting[asked] = None
        self._barriers[asked] = barrier.path
        self._bytes += len(asked) + _ENTRY_BYTES
        forgotten: list[bytes] = []
        while self._is_over():
            oldest = next(iter(self._barriers))
            self.forget(oldest, out)
            forgotten.append(oldest)
        return forgotten

    def _is_over(self) -> bool:
        return (
            len(self._barriers) > self._limit
            or self._bytes > self._most_bytes
            or len(self._directories) > MOST_DIRECTORIES
        )

    def forget(self, asked: bytes, out: list[Action]) -> None:
        """Remember the path no more."""
        barrier = self._barriers.pop(asked, None)
        if barrier is None:
            return
        self._bytes -= len(asked) + _ENTRY_BYTES
        waiting = self._paths[barrier]
        del waiting[asked]
        if waiting:
            return
        del self._paths[barrier]
        self._bytes -= len(barrier)
        at = _directory(barrier)
        self._directories[at] -= 1
        if not self._directories[at]:
            del self._directories[at]
        out.append(UnwatchBarrier(barrier))

    def passed(self, barrier: bytes, out: list[Action]) -> list[bytes]:
        """Forget what waited for a barrier that has changed; return these paths."""
        paths = list(self._paths.get(barrier, ()))
        for asked in paths:
            self.forget(asked, out)
        return paths

    def check(self) -> None:
        """Raise AssertionError if the tables disagree, or are larger than they may."""
        paths = 0
        size = 0
        directories: dict[bytes, int] = {}
        for barrier, waiting in self._paths.items():
            assert waiting, barrier
            paths += len(waiting)
            size += len(barrier) + sum([len(asked) + _ENTRY_BYTES for asked in waiting])
            for asked in waiting:
                assert self._barriers[asked] == barrier, asked
            at = _directory(barrier)
            directories[at] = directories.get(at, 0) + 1
        assert paths == len(self._barriers)
        assert (size, directories) == (self._bytes, self._directories)
        assert not self._is_over()


def _directory(path: bytes) -> bytes:
    return path[: path.rfind(b"/")]

"""A real directory tree with sources and a watcher, and time that the test says."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from broker.library.notifier import Notifier, new_inotify, silent_file_system
from broker.library.sources import Sources, digest_of
from broker.library.watch import Watcher
from broker.resolve import PoolPaths
from luafarm.names import Pool

POOL = Pool("p")
SETTLE_S = 0.02
POLL_S = 1.0


class Tree:
    """`root` is served by pool p; what happens outside of it is not."""

    def __init__(
        self,
        root: Path,
        *libraries: Path,
        notifier: Callable[[], Notifier] = new_inotify,
        is_silent: Callable[[bytes], str] = silent_file_system,
        is_single: Callable[[tuple[Pool, bytes]], bool] = lambda _: True,
    ) -> None:
        self.root = root
        paths = PoolPaths(
            POOL, (os.fsencode(root),), tuple(os.fsencode(p) for p in libraries)
        )
        # files are never young: the clock is an hour ahead of them
        self.clock_ahead_s = 3600.0
        self.sources = Sources({POOL: paths}, 1 << 20, self.wall_clock)
        self.watcher = Watcher(
            self.sources, SETTLE_S, POLL_S, notifier, is_silent, is_single
        )
        self.now = 10.0

    def wall_clock(self) -> float:
        return time.time() + self.clock_ahead_s

    def path(self, name: str) -> bytes:
        return os.fsencode(self.root / name)

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def follow(self, *names: str) -> None:
        """Follow these paths from what they are now."""
        for name in names:
            key = (POOL, self.path(name))
            self.watcher.follow(key, self.sources.look(*key).digest, self.now)
        assert self.watcher.hints.settles_at() is None

    def unfollow(self, *names: str) -> None:
        for name in names:
            self.watcher.unfollow((POOL, self.path(name)))

    def hinted(self) -> bool:
        """Read events; say whether they mean anything."""
        self.watcher.read_events(self.now)
        return self.watcher.hints.settles_at() is not None

    def changes(self) -> dict[str, str]:
        """Read events and return the changed paths with their texts' digests."""
        self.watcher.read_events(self.now)
        return self.settled()

    def settled(self) -> dict[str, str]:
        return {
            os.path.relpath(os.fsdecode(file.path), self.root): (
                file.error or file.digest.hex()
            )
            for file in self.watcher.changes(self.now).files
        }

    def passed(self) -> list[str]:
        """Read events and return the barriers that are others than before."""
        self.watcher.read_events(self.now)
        passed = self.watcher.changes(self.now).passed
        return [os.path.relpath(os.fsdecode(path), self.root) for path in passed]

    def polled(self) -> dict[str, str]:
        """Let the watcher look by itself, without any event."""
        self.now += POLL_S
        self.watcher.poll(self.now)
        return self.settled()

    def close(self) -> None:
        self.watcher.close()


def of(text: str) -> str:
    """Return what stands for this content in `changes`."""
    return digest_of(text.encode()).hex()


GONE = ""


def replace_with(path: Path, text: str) -> None:
    """Put another file in its place, as a careful editor does."""
    other = path.with_name(".other")
    other.write_text(text)
    other.rename(path)

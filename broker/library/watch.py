"""Notices when files change: inotify gives the hint, the file is the truth.

Of each followed path every directory on the way is watched
(`broker.library.directories`). An event names a directory and a component; the paths
that go through it are hinted. When hints have settled, `changes` looks at these files
and returns those that have changed. A file that somebody has open for writing
is no other one before it is closed (`broker.library.unfinished`).

A barrier, which is waited for, has no way of its own: it is one name more in the
directory where it would appear, whose way is followed once for all of them.

Where inotify is silent (network file systems, watch limits, unreadable directories)
paths are looked at every `poll` seconds instead; all others are as well, a few at a
time, because hard links, bind mounts and renamed ancestors give no event either.
"""

# Impure.

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from inotify_simple import flags

from broker.events import FileNow
from broker.library.directories import Directories, Step, Way, joined
from broker.library.hints import Hints
from broker.library.notifier import Notifier, new_inotify, silent_file_system
from broker.library.sources import Sources, trace
from broker.library.unfinished import Unfinished
from broker.resolve import is_in
from broker.tables import Key
from luafarm.names import Pool

_SWEEP: Final = 256  # paths that `poll` looks at where inotify should not be silent

_NOBODY: Final = Pool("")
"""The pool of a place, which is a directory where barriers are; pools have names."""


class _Path:
    """A followed path."""

    __slots__ = ("digest", "error", "way")

    def __init__(self, digest: bytes) -> None:
        self.digest = digest
        self.error = ""
        self.way = Way()


class _Place:
    """A directory that barriers are in, or a symlink that is one itself."""

    __slots__ = ("barriers", "way")

    def __init__(self) -> None:
        #: what was seen there, by path
        self.barriers: dict[bytes, bytes] = {}
        self.way = Way()


@dataclass(frozen=True, slots=True)
class Changes:
    """What has changed."""

    files: list[FileNow] = field(default_factory=list)
    unread: list[FileNow] = field(default_factory=list)  # that are not known just now
    passed: list[bytes] = field(default_factory=list)  # barriers

    def __bool__(self) -> bool:
        """Say whether there is any."""
        return bool(self.files or self.passed)


class Watcher:
    """Follows paths and says which have changed."""

    def __init__(
        self,
        sources: Sources,
        settle_s: float,
        poll_s: float,
        notifier: Callable[[], Notifier] = new_inotify,
        is_silent: Callable[[bytes], str] = silent_file_system,
        is_single: Callable[[Key], bool] = lambda _: True,
    ) -> None:
        self._is_single = is_single
        self._sources = sources
        self._settle_s = settle_s
        self._poll_s = poll_s
        self._paths: dict[Key, _Path] = {}
        self._places: dict[bytes, _Place] = {}
        #: the place of each barrier
        self._place_of: dict[bytes, bytes] = {}
        self._directories = Directories(notifier, is_silent)
        self._unfinished = Unfinished(sources, poll_s)
        self.hints = Hints(settle_s)
        self._next_poll = 0.0
        self._sweep: list[Key] = []
        self.overflows = 0

    @property
    def trouble(self) -> str:
        """Why there is no inotify at all; empty when there is."""
        return self._directories.trouble

    def fileno(self) -> int:
        """Return the descriptor to poll for reading, -1 when there is none."""
        return self._directories.fileno()

    def close(self) -> None:
        """Watch nothing any more."""
        self._directories.close()

    # -- what is followed ------------------------------------------------------------

    def follow(self, key: Key, digest: bytes, now: float) -> None:
        """Report from now on when the content of this path is not this one."""
        path = self._paths.get(key)
        if path is None:
            path = self._paths[key] = _Path(digest)
            self._put(key)  # what inotify might have said before nobody heard
        path.digest = digest
        path.way = self._directories.walk(key, path.way, anew=False)
        current = self._sources.look(*key)
        if current.digest != digest or current.error:
            self.doubt(key, now)
        else:
            self._unfinished.settled(key)

    def unfollow(self, key: Key) -> None:
        """Forget this path."""
        path = self._paths.pop(key, None)
        if path is not None:
            self._directories.leave(key, path.way.steps)
            self._unfinished.settled(key)
            self.hints.drop(key)

    def is_followed(self, key: Key) -> bool:
        """Say whether changes of this path are reported."""
        return key in self._paths

    def known(self, key: Key) -> bytes:
        """Return the content that was reported of a followed path last."""
        path = self._paths.get(key)
        return path.digest if path is not None else b""

    # -- what is waited for ----------------------------------------------------------

    def watch_barrier(self, barrier: bytes, seen: bytes, now: float) -> None:
        """Report when there is something else at this path than was seen (`trace`)."""
        at = barrier if _is_link(barrier) else barrier.rpartition(b"/")[0] or b"/"
        key = (_NOBODY, at)
        place = self._places.get(at)
        if place is None:
            place = self._places[at] = _Place()
            place.way = self._directories.walk(key, place.way, anew=False)
        place.barriers[barrier] = seen
        self._place_of[barrier] = at
        for end, name in _names(place.way, (barrier,)):
            self._directories.enter(key, end, name, anew=False)
        if trace(barrier) != seen:
            self.doubt(key, now)

    def unwatch_barrier(self, barrier: bytes) -> None:
        """Forget this barrier."""
        at = self._place_of.pop(barrier, None)
        if at is None:
            return
        key = (_NOBODY, at)
        place = self._places[at]
        del place.barriers[barrier]
        kept = place.way.steps
        names = _names(place.way, (barrier,))
        self._directories.leave(key, [n for n in names if n not in kept])
        if not place.barriers:
            self._directories.leave(key, place.way.steps)
            del self._places[at]
            self.hints.drop(key)

    def is_barrier(self, path: bytes) -> bool:
        """Say whether this path is a barrier."""
        return path in self._place_of

    def _walk_place(self, key: Key, place: _Place) -> None:
        """Watch the way to a place anew, and in it the names that are waited for."""
        before = place.way
        place.way = self._directories.walk(key, before, anew=True)
        if place.way.end != before.end:
            names = _names(before, place.barriers)
            kept = place.way.steps
            self._directories.leave(key, [n for n in names if n not in kept])
        for at, name in _names(place.way, place.barriers):
            self._directories.enter(key, at, name, anew=True)

    # -- hints -----------------------------------------------------------------------

    def doubt(self, key: Key, now: float) -> None:
        """Have this path looked at soon."""
        self.hints.doubt(key, now)

    def read_events(self, now: float) -> None:
        """Take what inotify has to say."""
        for at, name, mask in self._directories.events():
            if mask & flags.Q_OVERFLOW:
                self.overflows += 1
                for key in self._everything():
                    self._put(key)  # for all that is known
                    self.hints.add([(key, True)], b"", key[1], now)
                continue
            path = joined(at, name)
            if mask & flags.CREATE and _is_being_written(path):
                self._unfinished.begun(path, now)
                continue  # CLOSE_WRITE follows
            if not mask & flags.ATTRIB:
                self._unfinished.ended(path)
            self._hint_name(at, name, mask, now)

    def _everything(self) -> list[Key]:
        return [*self._paths, *[(_NOBODY, at) for at in self._places]]

    def _put(self, key: Key) -> None:
        if key in self._paths:
            self._unfinished.put(key)

    def _hint_name(self, at: bytes, name: bytes, mask: int, now: float) -> None:
        keys = self._directories.keys(at, name)
        if not keys:
            self.hints.go_on(at, now)
            return
        hinted: list[tuple[Key, bool]] = []
        is_partial = False
        for key in keys:
            path = self._paths.get(key)
            is_last = (
                path is not None
                and path.way.is_whole
                and path.way.steps[-1] == (at, name)
            )
            is_partial |= is_last and not self._is_single(key)
            hinted.append((key, not is_last))
            if not mask & flags.ATTRIB:
                self._put(key)
        self.hints.add(hinted, at, name, now, is_partial=is_partial)

    # -- looking ---------------------------------------------------------------------

    def changes(self, now: float) -> Changes:
        """Look at all that is hinted; return what has changed."""
        return self._look_at(self.hints.take(), now)

    def meant(self, scope: bytes) -> list[Key]:
        """Return what is at a path or below, symlinks followed; empty: everything."""
        return [
            key
            for key, path in self._paths.items()
            if not scope
            or is_in(key[1], scope)
            or any(is_in(joined(at, name), scope) for at, name in path.way.steps)
        ]

    def check(self, scope: bytes, now: float) -> Changes:
        """Look at the path, or all below a directory (empty: at all), right now.

        Also at all barriers, and at files that are open for writing: who asks for this
        says that they are whole.
        """
        keys = [*self.meant(scope), *[(_NOBODY, at) for at in self._places]]
        for key in keys:
            self.hints.drop(key)
        return self._look_at(dict.fromkeys(keys, True), now, is_told=True)

    def _look_at(
        self, keys: dict[Key, bool], now: float, *, is_told: bool = False
    ) -> Changes:
        changes = Changes()
        self._directories.begin_round()
        for key, is_deep in keys.items():
            if key[0] == _NOBODY:
                self._look_at_place(key, changes)
                continue
            path = self._paths.get(key)
            if path is None:
                continue
            if is_deep or not _is_file(*path.way.steps[-1]):
                path.way = self._directories.walk(key, path.way, anew=True)
            current = self._sources.look(*key)
            if not current.is_known:
                changes.unread.append(current)
                self.doubt(key, now)  # it is looked at again
                continue
            if current.digest == path.digest and current.error == path.error:
                self._unfinished.settled(key)
                continue
            if current.digest and not is_told:
                is_polled = self._directories.is_polled(path.way.steps[-1][0])
                if self._unfinished.holds_back(key, now, is_polled=is_polled):
                    continue
            self._unfinished.settled(key)
            path.digest = current.digest
            path.error = current.error
            changes.files.append(current)
        return changes

    def _look_at_place(self, key: Key, changes: Changes) -> None:
        place = self._places.get(key[1])
        if place is None:
            return
        self._walk_place(key, place)
        for barrier, seen in place.barriers.items():
            now = trace(barrier)
            if now != seen:
                place.barriers[barrier] = now
                changes.passed.append(barrier)

    def is_unfinished(self, key: Key) -> bool:
        """Say whether somebody is still writing what is at this path."""
        return self._unfinished.is_open(key)

    # -- polling ---------------------------------------------------------------------

    def polls_at(self) -> float:
        """Return when `poll` is due."""
        return self._next_poll

    def poll(self, now: float) -> None:
        """Look at what inotify does not tell; suspicions become hints."""
        self._next_poll = now + self._poll_s
        self._directories.rearm()
        polled = self._directories.polled()
        polled.update(dict.fromkeys(self._unfinished.keys()))
        if not self._sweep:
            self._sweep = self._everything()
        batch, self._sweep = self._sweep[:_SWEEP], self._sweep[_SWEEP:]
        for key in [*polled, *[k for k in batch if k not in polled]]:
            if self._is_suspect(key):
                self.doubt(key, now)

    def _is_suspect(self, key: Key) -> bool:
        place = self._places.get(key[1]) if key[0] == _NOBODY else None
        if place is not None:
            return any(trace(path) != seen for path, seen in place.barriers.items())
        path = self._paths.get(key)
        if path is None:
            return False
        current = self._sources.look(*key)
        if current.digest == path.digest and current.error == path.error:
            return False  # what is not known has an error of its own
        # a file that is written just now is looked at again when it rests
        return not self._sources.is_young(key[1], self._settle_s)

    def status(self) -> dict[str, object]:
        """Return figures and what is polled, for the farm's status."""
        return {
            "paths": len(self._paths),
            "barriers": len(self._place_of),
            "places": len(self._places),
            "unfinished": len(self._unfinished),
            "overflows": self.overflows,
            **self._directories.status(),
        }


def _names(way: Way, barriers: Iterable[bytes]) -> list[Step]:
    """Return where barriers will appear, if their place is a directory."""
    if way.end is None:
        return []
    return [(way.end, barrier.rpartition(b"/")[2]) for barrier in barriers]


def _is_link(path: bytes) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(path).st_mode)
    except OSError:
        return False


def _is_file(at: bytes, name: bytes) -> bool:
    """Say whether there is a file, and no symlink to one."""
    try:
        return stat.S_ISREG(os.lstat(at + b"/" + name).st_mode)
    except OSError:
        return False


def _is_being_written(path: bytes) -> bool:
    """Say whether a created name is a file whose writer is still to close it.

    Not so: directories, symlinks, and further hard links.
    """
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1

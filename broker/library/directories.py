"""Watched directories: which of their names lead to which followed paths.

inotify watches directories, never files: of each path every directory that holds one of
its components, symlinks and their targets included.
"""

# Impure.

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import Final

from inotify_simple import flags

from broker.few import Few
from broker.library.notifier import Notifier
from broker.resolve import shown
from broker.tables import Key

_MASK: Final = (
    flags.CLOSE_WRITE
    | flags.ATTRIB
    | flags.CREATE
    | flags.DELETE
    | flags.MOVED_FROM
    | flags.MOVED_TO
    | flags.DELETE_SELF
    | flags.MOVE_SELF
    | flags.ONLYDIR
)
_SELF: Final = flags.DELETE_SELF | flags.MOVE_SELF | flags.UNMOUNT | flags.IGNORED

_MAX_LINKS: Final = 40  # symlinks in one path, as in the kernel (path_resolution(7))

_REARMED: Final = 16  # directories that could not be watched and are tried again

Step = tuple[bytes, bytes]
"""(directory, name in it)."""


class Way:
    """The steps from the root of the file system to what a path means."""

    __slots__ = ("end", "is_whole", "steps")

    def __init__(self) -> None:
        self.steps: list[Step] = []
        #: the last step is a file: a new content there changes no other step
        self.is_whole = False
        #: the directory that it leads to; None when that is none
        self.end: bytes | None = None


class _Name:
    """A name in a watched directory, and the paths that go through it."""

    __slots__ = ("keys", "step")

    def __init__(self, step: Step) -> None:
        self.step = step
        self.keys: Few[Key] = Few()


class _Directory:
    """A watched directory: which paths go through which of its names."""

    __slots__ = ("at", "names", "polled", "wd")

    def __init__(self, at: bytes) -> None:
        self.at = at
        self.wd = -1
        self.polled = ""  # why inotify is not relied on; empty: it is
        self.names: dict[bytes, _Name] = {}


class Directories:
    """All and only directories that some path goes through."""

    def __init__(
        self, notifier: Callable[[], Notifier], is_silent: Callable[[bytes], str]
    ) -> None:
        self._is_silent = is_silent
        self._directories: dict[bytes, _Directory] = {}
        self._by_wd: dict[int, bytes] = {}
        #: directories that were watched anew in this round
        self._armed: set[bytes] = set()
        self.trouble = ""  # why there is no inotify at all
        self._inotify: Notifier | None = None
        try:
            self._inotify = notifier()
        except OSError as error:  # EMFILE: fs.inotify.max_user_instances
            self.trouble = f"inotify: {error.strerror}"

    def fileno(self) -> int:
        """Return the descriptor to poll for reading, -1 when there is none."""
        return self._inotify.fileno() if self._inotify is not None else -1

    def close(self) -> None:
        """Watch nothing any more."""
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None

    # -- ways ------------------------------------------------------------------------

    def begin_round(self) -> None:
        """Watch each directory anew once more, in the walks that follow."""
        self._armed.clear()

    def walk(self, key: Key, old: Way, *, anew: bool) -> Way:
        """Find the directories that hold a component of the path, and watch them.

        Each is watched before what it holds is looked at, so that nothing is missed.
        With `anew` also those that are watched already: they may be others by now.
        """
        way = Way()
        todo = key[1].split(b"/")[:0:-1]
        at = b"/"
        links = 0
        while todo:
            name = todo.pop()
            if name in {b"", b"."}:
                continue
            if name == b"..":
                at = at.rpartition(b"/")[0] or b"/"
                continue
            step = self.enter(key, at, name, anew=anew)
            way.steps.append(step)
            here = joined(at, name)
            try:
                mode = os.lstat(here).st_mode
                if stat.S_ISLNK(mode):
                    target = os.readlink(here)  # noqa: PTH115 - bytes
                    links += 1
                    if links > _MAX_LINKS:
                        break
                    todo.extend(target.split(b"/")[::-1])
                    if target.startswith(b"/"):
                        at = b"/"
                    continue
            except OSError:
                break  # the rest follows when this component appears
            if not stat.S_ISDIR(mode):
                way.is_whole = stat.S_ISREG(mode) and not todo
                break
            at = here
        else:
            way.end = at
        self.leave(key, [step for step in old.steps if step not in way.steps])
        return way

    def enter(self, key: Key, at: bytes, name: bytes, *, anew: bool) -> Step:
        """Watch a name in a directory on behalf of a path; return the step.

        It is the same object for all paths that take it: most have most in common.
        """
        directory = self._directories.get(at)
        if directory is None or (anew and at not in self._armed):
            directory = self._arm(at)
            self._armed.add(at)
        here = directory.names.get(name)
        if here is None:
            here = directory.names[name] = _Name((directory.at, name))
        here.keys.add(key)
        return here.step

    def leave(self, key: Key, steps: list[Step]) -> None:
        """Watch these names no more on behalf of a path."""
        for at, name in steps:
            directory = self._directories.get(at)
            here = directory.names.get(name) if directory is not None else None
            if directory is None or here is None:
                continue
            here.keys.discard(key)
            if not here.keys:
                del directory.names[name]
            if not directory.names:
                self._disarm(at, directory)

    def keys(self, at: bytes, name: bytes) -> tuple[Key, ...]:
        """Return the paths that go through this name."""
        directory = self._directories.get(at)
        here = directory.names.get(name) if directory is not None else None
        return here.keys.members() if here is not None else ()

    # -- watches ---------------------------------------------------------------------

    def _arm(self, at: bytes) -> _Directory:
        directory = self._directories.get(at)
        if directory is None:
            directory = self._directories[at] = _Directory(at)
        reason = self.trouble
        wd = -1
        if self._inotify is not None:
            try:
                wd = self._inotify.add_watch(at, _MASK)
            except OSError as error:
                if error.errno not in {errno.ENOENT, errno.ENOTDIR}:
                    reason = _reason(error)
        if wd != directory.wd:
            self._unmap(directory)
            if wd >= 0:
                # another path to the same directory: both get its events
                other = self._by_wd.get(wd)
                if other is not None and other != at:
                    self._directories[other].wd = -1
                    self._directories[other].polled = "has another name"
                self._by_wd[wd] = at
            directory.wd = wd
        if wd >= 0:
            reason = self._is_silent(at)
        directory.polled = reason
        return directory

    def _disarm(self, at: bytes, directory: _Directory) -> None:
        wd = directory.wd
        self._unmap(directory)
        if wd >= 0 and self._inotify is not None:
            # the kernel may have been faster: the directory is gone
            with contextlib.suppress(OSError):
                self._inotify.rm_watch(wd)
        del self._directories[at]

    def _unmap(self, directory: _Directory) -> None:
        # events that still come for this descriptor have no meaning any more
        self._by_wd.pop(directory.wd, None)
        directory.wd = -1

    def rearm(self) -> None:
        """Try again to watch directories where that failed: limits can be raised."""
        failed = [at for at, d in self._directories.items() if d.polled and d.wd < 0]
        for at in failed[:_REARMED]:
            self._arm(at)

    # -- what happens there ----------------------------------------------------------

    def events(self) -> Iterator[tuple[bytes, bytes, int]]:
        """Yield (directory, name, what happened) as inotify tells it.

        A directory that was moved or removed tells of each name. Without directory and
        name: events were lost.
        """
        if self._inotify is None:
            return
        for wd, mask, _, text in self._inotify.read(timeout=0):
            if mask & flags.Q_OVERFLOW:
                yield b"", b"", mask
                continue
            at = self._by_wd.get(wd)
            if at is None:
                continue  # of a watch that was given up
            directory = self._directories[at]
            if not mask & _SELF:
                yield at, os.fsencode(text), mask
                continue
            if mask & flags.IGNORED:
                self._unmap(directory)
            for name in list(directory.names):
                yield at, name, mask

    def is_polled(self, at: bytes) -> bool:
        """Say whether inotify is not relied on in a directory."""
        directory = self._directories.get(at)
        return directory is None or bool(directory.polled)

    def polled(self) -> dict[Key, None]:
        """Return the paths with a step where inotify is not relied on."""
        return {
            key: None
            for directory in self._directories.values()
            if directory.polled
            for here in directory.names.values()
            for key in here.keys.members()
        }

    def status(self) -> dict[str, object]:
        """Return the number of watches and what is polled, for the farm's status."""
        return {
            "watches": len(self._by_wd),
            "polling": [
                {"directory": shown(at), "reason": directory.polled}
                for at, directory in list(self._directories.items())
                if directory.polled
            ][:100],
        }


def joined(at: bytes, name: bytes) -> bytes:
    """Return the path of a name in a directory."""
    return at + name if at == b"/" else at + b"/" + name


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "watch limit: raise fs.inotify.max_user_watches"
    return (error.strerror or str(error)).lower()

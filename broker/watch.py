"""Notices when files change: inotify gives the hint, the file is the truth.

Watched are directories, never files: of each followed path every directory that holds
one of its components, symlinks and their targets included. An event names a directory
and a component; the paths that go through it are hinted. When hints have settled,
`changes` looks at these files and returns those that are others than before.

Where inotify is silent (network file systems, watch limits, unreadable directories)
paths are looked at every `poll` seconds instead; all others are as well, a few at a
time, because hard links, bind mounts and renamed ancestors give no event either.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from typing import Final

from inotify_simple import flags

from broker.events import FileNow
from broker.hints import Hints
from broker.notifier import Notifier, new_inotify, silent_file_system
from broker.resolve import is_in
from broker.sources import Sources
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

_SWEEP: Final = 256  # paths that `poll` looks at where inotify should not be silent
_REARMED: Final = 16  # directories that could not be watched and are tried again


class _Directory:
    """A watched directory: which paths go through which of its names."""

    __slots__ = ("names", "polled", "wd")

    def __init__(self) -> None:
        self.wd = -1
        self.polled = ""  # why inotify is not relied on; empty: it is
        self.names: dict[bytes, dict[Key, None]] = {}


class _Path:
    """A followed path."""

    __slots__ = ("digest", "error", "is_whole", "steps")

    def __init__(self, digest: bytes) -> None:
        self.digest = digest
        self.error = ""
        #: the last step is a file: a new content there changes no other step
        self.is_whole = False
        self.steps: list[tuple[bytes, bytes]] = []


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
        self._is_silent = is_silent
        self._sources = sources
        self._settle_s = settle_s
        self._poll_s = poll_s
        self._paths: dict[Key, _Path] = {}
        self._directories: dict[bytes, _Directory] = {}
        self._by_wd: dict[int, bytes] = {}
        self.hints = Hints(settle_s)
        #: directories that were watched anew in this round
        self._armed: set[bytes] = set()
        self._next_poll = 0.0
        self._sweep: list[Key] = []
        self.overflows = 0
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

    # -- what is followed ------------------------------------------------------------

    def follow(self, key: Key, digest: bytes, now: float) -> None:
        """Report from now on when this path has another content than this one."""
        path = self._paths.get(key)
        if path is None:
            path = self._paths[key] = _Path(digest)
        path.digest = digest
        self._walk(key, path, anew=False)
        current = self._sources.look(*key)
        if current.digest != digest or current.error:
            self.hint(key, now)

    def unfollow(self, key: Key) -> None:
        """Forget this path."""
        path = self._paths.pop(key, None)
        if path is not None:
            self._leave(key, path.steps)
            self.hints.drop(key)

    def _walk(self, key: Key, path: _Path, *, anew: bool) -> None:
        """Find the directories that hold a component of the path, and watch them.

        Each is watched before what it holds is looked at, so that nothing is missed.
        With `anew` also those that are watched already: they may be others by now.
        """
        old, steps = path.steps, list[tuple[bytes, bytes]]()
        path.is_whole = False
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
            steps.append((at, name))
            directory = self._directories.get(at)
            if directory is None or (anew and at not in self._armed):
                directory = self._arm(at)
                self._armed.add(at)
            directory.names.setdefault(name, {})[key] = None
            here = _joined(at, name)
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
            if todo and not stat.S_ISDIR(mode):
                break
            path.is_whole = stat.S_ISREG(mode)
            at = here
        path.steps = steps
        self._leave(key, [step for step in old if step not in steps])

    def _leave(self, key: Key, steps: list[tuple[bytes, bytes]]) -> None:
        for at, name in steps:
            directory = self._directories.get(at)
            keys = directory.names.get(name) if directory is not None else None
            if directory is None or keys is None:
                continue
            keys.pop(key, None)
            if not keys:
                del directory.names[name]
            if not directory.names:
                self._disarm(at, directory)

    def _arm(self, at: bytes) -> _Directory:
        directory = self._directories.get(at)
        if directory is None:
            directory = self._directories[at] = _Directory()
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

    # -- hints -----------------------------------------------------------------------

    def hint(self, key: Key, now: float) -> None:
        """Have this path looked at soon."""
        self.hints.add([(key, True)], b"", key[1], now)

    def read_events(self, now: float) -> None:
        """Take what inotify has to say."""
        if self._inotify is None:
            return
        for wd, mask, _, text in self._inotify.read(timeout=0):
            if mask & flags.Q_OVERFLOW:
                self.overflows += 1
                for key in self._paths:
                    self.hint(key, now)
                continue
            at = self._by_wd.get(wd)
            if at is None:
                continue  # of a watch that was given up
            directory = self._directories[at]
            if mask & _SELF:
                if mask & flags.IGNORED:
                    self._unmap(directory)
                for name in directory.names:
                    self._hint_name(at, name, now)
                continue
            name = os.fsencode(text)
            if mask & flags.CREATE and _is_being_written(at + b"/" + name):
                continue  # CLOSE_WRITE follows
            self._hint_name(at, name, now)

    def _hint_name(self, at: bytes, name: bytes, now: float) -> None:
        keys = self._directories[at].names.get(name)
        if not keys:
            self.hints.go_on(at, now)
            return
        hinted: list[tuple[Key, bool]] = []
        is_partial = False
        for key in keys:
            path = self._paths[key]
            is_last = path.is_whole and path.steps[-1] == (at, name)
            is_partial |= is_last and not self._is_single(key)
            hinted.append((key, not is_last))
        self.hints.add(hinted, at, name, now, is_partial=is_partial)

    def is_followed(self, key: Key) -> bool:
        """Say whether changes of this path are reported."""
        return key in self._paths

    def changes(self) -> list[FileNow]:
        """Look at all hinted paths; return those that are others than before."""
        return self._look_at(self.hints.take())

    def meant(self, scope: bytes) -> list[Key]:
        """Return what is at a path or below, symlinks followed; empty: everything."""
        return [
            key
            for key, path in self._paths.items()
            if not scope
            or is_in(key[1], scope)
            or any(is_in(_joined(at, name), scope) for at, name in path.steps)
        ]

    def check(self, scope: bytes) -> list[FileNow]:
        """Look at the path, or all below a directory (empty: at all), right now."""
        keys = self.meant(scope)
        for key in keys:
            self.hints.drop(key)
        return self._look_at(dict.fromkeys(keys, True))

    def _look_at(self, keys: dict[Key, bool]) -> list[FileNow]:
        changed: list[FileNow] = []
        self._armed.clear()
        for key, is_deep in keys.items():
            path = self._paths.get(key)
            if path is None:
                continue
            if is_deep or not _is_file(*path.steps[-1]):
                self._walk(key, path, anew=True)
            now = self._sources.look(*key)
            if now.digest != path.digest or now.error != path.error:
                path.digest = now.digest
                path.error = now.error
                changed.append(now)
        return changed

    # -- polling ---------------------------------------------------------------------

    def polls_at(self) -> float:
        """Return when `poll` is due."""
        return self._next_poll

    def poll(self, now: float) -> None:
        """Look at what inotify does not tell; suspicions become hints."""
        self._next_poll = now + self._poll_s
        self._rearm()
        polled = {
            key: None
            for directory in self._directories.values()
            if directory.polled
            for keys in directory.names.values()
            for key in keys
        }
        if not self._sweep:
            self._sweep = list(self._paths)
        batch, self._sweep = self._sweep[:_SWEEP], self._sweep[_SWEEP:]
        for key in [*polled, *[k for k in batch if k not in polled]]:
            path = self._paths.get(key)
            if path is None:
                continue
            current = self._sources.look(*key)
            if current.digest == path.digest and current.error == path.error:
                continue
            # a file that is written just now is looked at again when it rests
            if not self._sources.is_young(key[1], self._settle_s):
                self.hint(key, now)

    def _rearm(self) -> None:
        """Try again to watch directories where that failed: limits can be raised."""
        failed = [at for at, d in self._directories.items() if d.polled and d.wd < 0]
        for at in failed[:_REARMED]:
            self._arm(at)

    def status(self) -> dict[str, object]:
        """Return figures and what is polled, for the farm's status."""
        return {
            "paths": len(self._paths),
            "watches": len(self._by_wd),
            "overflows": self.overflows,
            "polling": [
                {"directory": os.fsdecode(at), "reason": directory.polled}
                for at, directory in list(self._directories.items())
                if directory.polled
            ][:100],
        }


def _joined(at: bytes, name: bytes) -> bytes:
    return at + name if at == b"/" else at + b"/" + name


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


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "watch limit: raise fs.inotify.max_user_watches"
    return (error.strerror or str(error)).lower()

"""The files that scripts are made of: read, compared, kept by content.

The broker alone reads them. A path is looked at by `stat` first; while (device, inode,
size, mtime, ctime) are those of the last look, so is the content. Symlinks are followed
by opening: where the open file really is must lie inside the pool's directories, so
nothing can be swapped between the check and the reading.
"""

# Impure.

import errno
import fcntl
import os
import signal
import stat
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Final

from broker.events import Barrier, FileNow, Found
from broker.library import roots
from broker.library.shortage import is_passing
from broker.resolve import (
    PoolPaths,
    candidates,
    is_below,
    is_normal,
    pool_of,
    possible,
    shown,
)
from luafarm import strangers
from luafarm.names import Pool, Script
from luafarm.strangers import Circle, StrangerError
from luafarm.wire.messages import Blob, Dependency, NeedKind

DIGEST_BYTES: Final = 16

MOST_BYTES: Final = 256 << 20
"""Contents in memory; beyond it the least recently used go, last good ones last."""

_MOST_LOOKS: Final = 65_536
_RACY_S: Final = 0.02
"""A file written so shortly before it was read may be written again without a change of
its times: their clock ticks every 4 ms (10 at most)."""

_READING: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
"""How files are opened. One may have become a FIFO: its writer is never waited for."""

Identity = tuple[int, int, int, int, int]


class _Look:
    __slots__ = ("digest", "error", "identity")

    def __init__(self, identity: Identity | None, digest: bytes, error: str) -> None:
        self.identity = identity  # None: look again next time
        self.digest = digest
        self.error = error


def digest_of(content: bytes) -> bytes:
    """Return the digest that stands for a content."""
    return blake2b(content, digest_size=DIGEST_BYTES).digest()


class Sources:
    """Looks at paths on behalf of pools; keeps contents up to a bound."""

    def __init__(
        self,
        pools: Mapping[Pool, PoolPaths],
        max_source: int,
        wall_clock: Callable[[], float] = time.time,
        most_bytes: int = MOST_BYTES,
        circles: Mapping[Pool, Circle] | None = None,
    ) -> None:
        """circles: who may have written what a pool runs; those not named: anybody."""
        self._circles = circles or {}
        self._most_bytes = most_bytes
        self._pools = pools
        self._max_source = max_source
        self._wall_clock = wall_clock
        self._looks: OrderedDict[tuple[Pool, bytes], _Look] = OrderedDict()
        self._contents: OrderedDict[bytes, bytes] = OrderedDict()
        self._bytes = 0
        #: last good contents that the disk has lost, by script
        self._kept: dict[Script, tuple[bytes, ...]] = {}

    # -- looking ---------------------------------------------------------------------

    def look(self, pool: Pool, path: bytes) -> FileNow:
        """Return what is at this path now."""
        key = (pool, path)
        status = _stat(path)
        if isinstance(status, OSError):
            self._looks.pop(key, None)
            return _unreadable(pool, path, status)
        if status is None or not stat.S_ISREG(status.st_mode):
            self._looks.pop(key, None)
            return FileNow(pool, path, b"")
        known = self._looks.get(key)
        if known is not None and known.identity == _identity(status):
            self._looks.move_to_end(key)
            return FileNow(pool, path, known.digest, known.error)
        look = self._read(pool, path)
        if isinstance(look, OSError):
            return _unreadable(pool, path, look)
        self._looks[key] = look
        if len(self._looks) > _MOST_LOOKS:
            self._looks.popitem(last=False)
        return FileNow(pool, path, look.digest, look.error)

    def is_young(self, path: bytes, age_s: float) -> bool:
        """Say whether the file was written so shortly ago that more may follow."""
        status = _stat(path)
        if status is None or isinstance(status, OSError):
            return False
        return -age_s < self._wall_clock() - status.st_mtime < age_s

    def has_writer(self, path: bytes) -> bool | None:
        """Say whether somebody has the file open for writing; None: not to be known.

        A read lease is not granted then (fcntl(2)); only the file's owner and root may
        ask for one.
        """
        try:
            fd = os.open(path, _READING)
        except OSError:
            return None
        try:
            # who opens it for writing at this very moment waits for the release, of
            # which we are told by a signal that does nothing
            fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except BlockingIOError:
            return True
        except OSError:
            return None
        else:
            return False
        finally:
            os.close(fd)

    def _read(self, pool: Pool, path: bytes) -> _Look | OSError:
        try:
            fd = os.open(path, _READING)
        except OSError as error:
            return error
        try:
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode) or not self._is_inside(pool, fd, path):
                return _Look(None, b"", "")
            wrong = self._distrust(pool, path, before)
            if wrong:
                return _Look(_identity(before), b"", wrong)
            if before.st_size > self._max_source:
                limit = f"the limit is {self._max_source} (max_source)"
                error_text = f"a file of {before.st_size} bytes; {limit}"
                return _Look(_identity(before), b"", error_text)
            content = _read_all(fd, self._max_source + 1)
            after = os.fstat(fd)
        except OSError as error:
            return error
        finally:
            os.close(fd)
        if len(content) > self._max_source:
            return _Look(
                None, b"", f"longer than {self._max_source} bytes (max_source)"
            )
        digest = digest_of(content)
        self._add(digest, content)
        identity = _identity(after)
        is_sure = identity == _identity(before) and not (
            -_RACY_S < self._wall_clock() - after.st_mtime < _RACY_S
        )
        return _Look(identity if is_sure else None, digest, "")

    def _distrust(self, pool: Pool, path: bytes, status: os.stat_result) -> str:
        """Return why a trusted pool does not run a file; empty: it does."""
        circle = self._circles.get(pool)
        if circle is None:
            return ""
        wrong = strangers.fault(shown(path), status, circle)
        return wrong and f"{wrong}; a trusted pool runs nothing of strangers (writers)"

    def _is_inside(self, pool: Pool, fd: int, path: bytes) -> bool:
        real = os.readlink(b"/proc/self/fd/%d" % fd)  # noqa: PTH115 - bytes
        paths = self._pools[pool]
        if real == path:
            return paths.holder_of(path) is not None
        for directory in (*paths.roots, *paths.libraries):
            try:
                if is_below(real, roots.real(directory)):
                    return True
            except StrangerError:
                continue  # a stranger's link leads to it
            except OSError as error:
                if is_passing(error):
                    raise  # it may be the one
        return False

    # -- contents --------------------------------------------------------------------

    def content(self, pool: Pool, path: bytes, digest: bytes) -> bytes | None:
        """Return this very content, from memory or the path; None if neither has it."""
        content = self._contents.get(digest)
        if content is None and self.look(pool, path).digest == digest:
            content = self._contents.get(digest)
            if content is None:  # seen before, but let go since
                self._looks.pop((pool, path), None)
                if self.look(pool, path).digest == digest:
                    content = self._contents.get(digest)
        if content is not None:
            self._contents.move_to_end(digest)
        return content

    def keep(self, script: Script, digests: tuple[bytes, ...]) -> None:
        """Keep these contents for the script, and no others from now on."""
        self._kept.pop(script, None)
        if digests:
            self._kept[script] = digests

    def _add(self, digest: bytes, content: bytes) -> None:
        if digest in self._contents:
            self._contents.move_to_end(digest)
            return
        self._contents[digest] = content
        self._bytes += len(content)
        if self._bytes > self._most_bytes:
            self._shrink(digest)

    def _shrink(self, newest: bytes) -> None:
        kept = {digest for digests in self._kept.values() for digest in digests}
        for spare in (kept, set[bytes]()):
            for digest in list(self._contents):
                if self._bytes <= self._most_bytes * 3 // 4:
                    return
                if digest not in spare and digest != newest:
                    self._bytes -= len(self._contents.pop(digest))

    # -- questions -------------------------------------------------------------------

    def find(self, asked: bytes) -> tuple[Found | None, Barrier | None]:
        """Return the script that a requested path means, and where the way to it ends.

        Without a barrier no file can ever be its script: by its text it is outside of
        all roots, or no name in it is one of a script.
        """
        where = pool_of(self._pools.values(), asked) if is_normal(asked) else None
        scripts = possible(where[0], where[1], asked) if where is not None else []
        if where is None or not scripts:
            return None, None
        barrier = _barrier(where[1], scripts[-1])
        if barrier.path not in scripts:
            return None, barrier
        pool = where[0].pool
        # looked at after the barrier: if it changes in between, the barrier passes
        now = self.look(pool, barrier.path)
        if not now.is_known:
            return Found(pool, Script(barrier.path), b"", "", is_whole=False), barrier
        if not (now.digest or now.error):
            return None, barrier
        return Found(pool, Script(barrier.path), now.digest, now.error), barrier

    def answer(
        self, pool: Pool, script: bytes, kind: NeedKind, name: bytes
    ) -> tuple[Blob, str] | None:
        """Return what a script asked for, or why there is none.

        None: a file that could be it cannot be read just now.
        """
        paths = candidates(self._pools[pool], script, kind, name)
        for path in paths:
            now = self.look(pool, path)
            if not now.is_known:
                return None
            if now.error:
                return Blob(
                    kind, name, b"", b"", b""
                ), f"cannot read '{shown(path)}': {now.error}"
            content = self.content(pool, path, now.digest) if now.digest else None
            if content is not None:
                return Blob(kind, name, path, now.digest, content), ""
        return Blob(kind, name, b"", b"", b""), self.absence(pool, script, kind, name)

    def absence(self, pool: Pool, script: bytes, kind: NeedKind, name: bytes) -> str:
        """Return where a script's file was looked for in vain, a line for each."""
        paths = candidates(self._pools[pool], script, kind, name)
        tried = "\n\t".join(
            f"no file '{shown(path)}'{self._lost(pool, path)}" for path in paths
        )
        return tried or "not a name inside the script roots"

    def _lost(self, pool: Pool, path: bytes) -> str:
        """Return what there is to say of a file that is there and does not count."""
        try:
            fd = os.open(path, _READING)
        except (OSError, ValueError):
            return ""
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode) and not self._is_inside(
                pool, fd, path
            ):
                return ": a link that leads outside of the pool's directories"
        except OSError:
            return ""
        finally:
            os.close(fd)
        return ""

    def used(
        self, pool: Pool, script: bytes, dependencies: tuple[Dependency, ...]
    ) -> list[tuple[bytes, bytes]]:
        """Return the paths that a state depends on, with the contents that it saw."""
        seen: dict[bytes, bytes] = {}
        for dependency in dependencies:
            tried = candidates(
                self._pools[pool], script, dependency.kind, dependency.name
            )
            for path in tried:
                if path == dependency.path:
                    seen[path] = dependency.digest
                    break
                seen[path] = b""
        return list(seen.items())


def trace(path: bytes) -> bytes:
    """Return what stands for all that matters of a path to those who wait for it.

    Empty when there is nothing; of a directory only which one it is.
    """
    try:
        here = os.lstat(path)
    except (OSError, ValueError):
        return b""
    if not stat.S_ISLNK(here.st_mode):
        return b"%d %d %d %d %d" % _identity_at(here)
    try:
        there = _identity_at(os.stat(path))  # noqa: PTH116 - bytes
    except OSError:
        there = (0, 0, 0, 0, 0)
    return b"%d %d %d %d %d, %d %d %d %d %d" % (*_identity_at(here), *there)


def _identity_at(status: os.stat_result) -> Identity:
    if stat.S_ISDIR(status.st_mode):
        return (status.st_dev, status.st_ino, -1, 0, 0)
    return _identity(status)


def _barrier(root: bytes, path: bytes) -> Barrier:
    """Return the first component of a path below a root that is no directory.

    The path itself, if all are.
    """
    at = 0
    if os.path.isdir(root):  # noqa: PTH112 - bytes
        at = 0 if root == b"/" else len(root)
    while True:
        at = path.find(b"/", at + 1)
        here = path if at < 0 else path[:at]
        seen = trace(here)
        if at < 0 or not os.path.isdir(here):  # noqa: PTH112 - bytes
            return Barrier(here, seen)


def _unreadable(pool: Pool, path: bytes, error: OSError) -> FileNow:
    return FileNow(pool, path, b"", _why(error), is_known=not is_passing(error))


def _stat(path: bytes) -> os.stat_result | OSError | None:
    """Return the status, None when there is nothing, or why that cannot be told."""
    try:
        return os.stat(path)  # noqa: PTH116 - bytes
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # so there can be none
            return None
        return error
    except ValueError:  # a NUL
        return None


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _identity(status: os.stat_result) -> Identity:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _read_all(fd: int, limit: int) -> bytes:
    pieces: list[bytes] = []
    left = limit
    while left > 0:
        piece = os.read(fd, min(left, 1 << 20))
        if not piece:
            break
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)

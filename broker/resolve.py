"""From names to paths, without looking at any file.

A request names a script and maybe PATH_INFO behind it, a script names modules and
files. Each name stands for a short list of absolute paths, tried in order; the first
regular file wins, and those tried before it are dependencies as well, because a file
that appears there later would win. Paths are bytes and normalised: what leaves the
roots by its text is never a candidate. What leaves them through symlinks is refused by
`broker.library.sources`, which looks.
"""

# Compiled.

import posixpath
from collections.abc import Iterable
from typing import Final

from luafarm.names import Pool
from luafarm.scriptnames import ScriptNames
from luafarm.wire.messages import NeedKind

MAX_PATH: Final = 4095
"""PATH_MAX of Linux less the final NUL."""

_MAX_NAME: Final = 1024


class PoolPaths:
    """The directories that a pool may read, and what in its roots is a script."""

    def __init__(
        self,
        pool: Pool,
        roots: tuple[bytes, ...],
        libraries: tuple[bytes, ...],
        scripts: tuple[str, ...] = ("*.lua",),
    ) -> None:
        self.pool = pool
        self.roots = roots
        self.libraries = libraries
        self.names = ScriptNames(scripts)

    def root_of(self, path: bytes) -> bytes | None:
        """Return the longest root that holds this path by its text, or None."""
        best: bytes | None = None
        for root in self.roots:
            if is_below(path, root) and (best is None or len(root) > len(best)):
                best = root
        return best

    def holder_of(self, path: bytes) -> bytes | None:
        """Return the longest root or library that holds this path, or None."""
        best = self.root_of(path)
        for library in self.libraries:
            if is_below(path, library) and (best is None or len(library) > len(best)):
                best = library
        return best

    def may_read_in(self, scope: bytes) -> bool:
        """Say whether the pool may read anything at a path or below; empty: at all."""
        places = (*self.roots, *self.libraries)
        return not scope or any(is_in(scope, p) or is_in(p, scope) for p in places)


def shown(path: bytes) -> str:
    """Return a path as people read it; what is no UTF-8 is escaped."""
    return path.decode("utf-8", "backslashreplace")


def is_in(path: bytes, scope: bytes) -> bool:
    """Say whether the path is this one or inside it, by its text."""
    return path == scope or is_below(path, scope)


def is_below(path: bytes, directory: bytes) -> bool:
    """Say whether the path is inside the directory, by its text."""
    if directory == b"/":
        return len(path) > 1 and path.startswith(b"/")
    return path.startswith(directory) and path[len(directory) : len(directory) + 1] == (
        b"/"
    )


def is_normal(path: bytes) -> bool:
    """Say whether the path is absolute and has no empty, `.` or `..` component."""
    if not 1 < len(path) <= MAX_PATH or path[:1] != b"/" or b"\0" in path:
        return False
    return all(part not in {b"", b".", b".."} for part in path[1:].split(b"/"))


def pool_of(pools: Iterable[PoolPaths], path: bytes) -> tuple[PoolPaths, bytes] | None:
    """Return the pool and root with the longest root that holds this path, or None."""
    best: tuple[PoolPaths, bytes] | None = None
    for pool in pools:
        root = pool.root_of(path)
        if root is not None and (best is None or len(root) > len(best[1])):
            best = (pool, root)
    return best


def possible(paths: PoolPaths, root: bytes, asked: bytes) -> list[bytes]:
    """Return what may be the script of a requested path: by name, the shortest first.

    At most one of them is a regular file, because those before it are directories. What
    is behind it is PATH_INFO. Empty when no file can ever be the script of this path.
    """
    below = asked[0 if root == b"/" else len(root) :]
    start = len(asked) - len(below)
    return [asked[: start + end] for end in paths.names.ends(below)]


def candidates(paths: PoolPaths, script: bytes, kind: int, name: bytes) -> list[bytes]:
    """Return the paths that a script's question stands for, best first.

    Empty when the name is none, or leaves the directories of the pool.
    """
    if not 0 < len(name) <= _MAX_NAME or b"\0" in name:
        return []
    root = paths.root_of(script)
    if root is None:
        return []
    here = posixpath.dirname(script)
    if kind == NeedKind.MODULE:
        relative = name.replace(b".", b"/")
        if not is_normal(b"/" + relative):
            return []
        bases = [here, root, *paths.libraries]
        found = [
            posixpath.join(base, relative) + ending
            for base in bases
            for ending in (b".lua", b"/init.lua")
        ]
    else:
        found = [
            posixpath.normpath(posixpath.join(base, name))
            for base in ((b"/",) if name.startswith(b"/") else (here, root))
        ]
    unique = dict.fromkeys(found)
    return [path for path in unique if is_normal(path) and _may_read(paths, path, kind)]


def _may_read(paths: PoolPaths, path: bytes, kind: int) -> bool:
    if kind == NeedKind.MODULE:
        return paths.holder_of(path) is not None
    return paths.root_of(path) is not None

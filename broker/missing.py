"""Paths without a script of which fronts were told, and will be when one comes.

Bounded: the oldest is forgotten first, and fronts are told to ask again.
"""

from broker.actions import Action
from broker.files import Files
from broker.resolve import PoolPaths, pool_of, prefixes
from luafarm.names import Pool, Script


class Missing:
    """Requested paths that mean no script, with the paths that could make them one."""

    def __init__(self, pools: dict[Pool, PoolPaths], files: Files, limit: int) -> None:
        self._pools = pools
        self._files = files
        self._limit = limit
        #: user name in Files: paths watched for it
        self._paths: dict[Script, tuple[Pool, list[bytes]]] = {}

    def __len__(self) -> int:
        """Return the number of remembered paths."""
        return len(self._paths)

    def __contains__(self, asked: bytes) -> bool:
        """Say whether fronts were told that there is no script at this path."""
        return _user(asked) in self._paths

    def paths(self) -> list[bytes]:
        """Return the requested paths."""
        return [user[1:] for user in self._paths]

    def remember(self, asked: bytes, seen: bytes, out: list[Action]) -> list[bytes]:
        """Remember this path; return those that fronts must forget.

        seen: content there that is no script, empty when there is no file.
        """
        user = _user(asked)
        if user in self._paths:
            return []
        where = pool_of(self._pools.values(), asked)
        possible = prefixes(where[1], asked) if where is not None else []
        if where is None or not possible or not self._limit:
            # no file can ever make it a script (outside every root), or too deep to
            # watch: then it is asked for each time
            return [] if where is None else [asked]
        pool = where[0].pool
        for path in possible:
            digest = seen if path == asked else b""
            self._files.use((pool, path), user, digest, out)
        self._paths[user] = (pool, possible)
        if len(self._paths) <= self._limit:
            return []
        oldest = next(iter(self._paths))
        self.forget(oldest[1:], out)
        return [oldest[1:]]

    def forget(self, asked: bytes, out: list[Action]) -> None:
        """Remember the path no more."""
        user = _user(asked)
        known = self._paths.pop(user, None)
        if known is not None:
            for path in known[1]:
                self._files.release((known[0], path), user, out)

    def watched(self) -> dict[Script, dict[tuple[Pool, bytes], None]]:
        """Return what is watched for whom, for `Files.check`."""
        return {
            user: {(pool, path): None for path in paths}
            for user, (pool, paths) in self._paths.items()
        }


def is_user(name: Script) -> bool:
    """Say whether this user of a file is a missing path and no script."""
    return name[:1] == b"?"


def asked_of(user: Script) -> bytes:
    """Return the requested path of such a user."""
    return user[1:]


def _user(asked: bytes) -> Script:
    # scripts are absolute paths, so this can be none
    return Script(b"?" + asked)

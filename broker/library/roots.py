"""What script roots really are, where they are reached through symlinks.

A web server may name a script by the resolved path of its root (nginx's
`$realpath_root`), so that each release has a name of its own. Here a script has one
name, which stays when a link is flipped: the one below the root as the settings spell
it. So the resolved directory is an alias of the root, as long as it is clear whose.

Who may exchange something on the way to a root may turn it to anywhere, and the broker
reads what he may not. So a link counts only if it belongs to root, to the broker's own
user, or to the owner of the directory in which the way ends.
"""

# Impure.

import logging
import os
import stat
import time
from collections.abc import Iterable
from typing import Final

from broker.library.shortage import is_passing
from broker.resolve import PoolPaths, is_in, shown
from luafarm import strangers
from luafarm.aliases import Alias, named
from luafarm.process.complaints import Complaints
from luafarm.strangers import StrangerError

logger = logging.getLogger(f"luafarm.{__name__}")

_MOST_LINKS: Final = 40  # as the kernel: path_resolution(7)
_HOLDING: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def real(directory: bytes) -> bytes:
    """Return what a directory really is, by links that may be followed.

    Each step is held while it is looked at: nothing can be exchanged in between. Raise
    OSError when there is none, StrangerError when a stranger's link leads to what is
    not his.
    """
    links: dict[int, bytes] = {}
    followed = 0
    parts = directory.split(b"/")[::-1]
    place = os.open(b"/", _HOLDING)
    try:
        while parts:
            part = parts.pop()
            if part in {b"", b"."}:
                continue
            step = os.open(part, _HOLDING, dir_fd=place)
            status = os.fstat(step)
            if not stat.S_ISLNK(status.st_mode):
                os.close(place)
                place = step
                continue
            try:
                target = os.readlink(b"", dir_fd=step)
            finally:
                os.close(step)
            followed += 1
            if followed > _MOST_LINKS:
                raise OSError(f"{shown(directory)}: more than {_MOST_LINKS} links")
            links[status.st_uid] = part
            parts.extend(target.split(b"/")[::-1])
            if target.startswith(b"/"):
                os.close(place)
                place = os.open(b"/", _HOLDING)
        found = os.readlink(b"/proc/self/fd/%d" % place)  # noqa: PTH115 - bytes
        owner = os.fstat(place).st_uid
    finally:
        os.close(place)
    for uid in links.keys() - strangers.own_circle().uids - {owner}:
        raise StrangerError(
            f"{shown(directory)} leads to {shown(found)} of "
            f"{strangers.user_name(owner)}, by a link of {strangers.user_name(uid)} "
            f"({shown(links[uid])}), who may show only what is his own"
        )
    return found


class Roots:
    """The roots of all pools, with their aliases as of the last `refresh`."""

    def __init__(self, pools: Iterable[PoolPaths]) -> None:
        self._roots = [(pool.pool, root) for pool in pools for root in pool.roots]
        self._aliases: dict[bytes, bytes] = {}
        #: what each root really was when that could be told last
        self._reals: dict[bytes, bytes] = {}
        self._complaints = Complaints()
        self.paths = frozenset(root for _, root in self._roots)

    @property
    def aliases(self) -> tuple[Alias, ...]:
        """Return what was found by the last `refresh`."""
        return tuple(self._aliases.items())

    def refresh(self) -> bool:
        """Look where the roots lead now; say whether any alias has changed."""
        found: dict[bytes, bytes] = {}
        owners: dict[bytes, str] = {}
        shared: set[bytes] = set()
        for pool, root in self._roots:
            there = self._real(root)
            if there == root or self._is_taken(there):
                continue
            if owners.setdefault(there, pool) != pool:
                shared.add(there)  # of two pools: which one is meant cannot be known
            found.setdefault(there, root)
        for there in shared:
            del found[there]
        is_new = found != self._aliases
        self._aliases = found
        return is_new

    def _real(self, root: bytes) -> bytes:
        """Return what a root really is; itself where that is nothing to be used."""
        try:
            found = self._reals[root] = real(root)
        except OSError as error:
            if is_passing(error):
                return self._reals.get(root, root)  # where it led when it was seen
            return root
        except StrangerError as wrong:
            text = f"root={shown(root)} is not served: {wrong}"
            line = self._complaints.line(shown(root), text, time.monotonic())
            if line:
                logger.error("%s", line)  # noqa: TRY400 - no fault of ours
            return root
        else:
            return found

    def _is_taken(self, real: bytes) -> bool:
        """Say whether a directory has to do with a root by its own name."""
        return any(is_in(root, real) or is_in(real, root) for root in self.paths)

    def named(self, path: bytes) -> bytes:
        """Return a path by the name of its root, if it has an alias in front."""
        return named(self._aliases, path)

"""What script roots really are, where they are reached through symlinks.

A web server may name a script by the resolved path of its root (nginx's
`$realpath_root`), so that each release has a name of its own. Here a script has one
name, which stays when a link is flipped: the one below the root as the settings spell
it. So the resolved directory is an alias of the root, as long as it is clear whose.
"""

import os
from collections.abc import Iterable

from broker.resolve import PoolPaths, is_in
from luafarm.aliases import Alias, named


class Roots:
    """The roots of all pools, with their aliases as of the last `refresh`."""

    def __init__(self, pools: Iterable[PoolPaths]) -> None:
        self._roots = [(pool.pool, root) for pool in pools for root in pool.roots]
        self._aliases: dict[bytes, bytes] = {}
        self.paths = frozenset(root for _, root in self._roots)

    @property
    def aliases(self) -> tuple[Alias, ...]:
        """Return what was found by the last `refresh`."""
        return tuple(self._aliases.items())

    def refresh(self) -> bool:
        """Look where the roots lead now; say whether any alias is another."""
        found: dict[bytes, bytes] = {}
        owners: dict[bytes, str] = {}
        shared: set[bytes] = set()
        for pool, root in self._roots:
            real = os.path.realpath(root)
            if real == root or self._is_taken(real):
                continue
            if owners.setdefault(real, pool) != pool:
                shared.add(real)  # of two pools: which one is meant cannot be known
            found.setdefault(real, root)
        for real in shared:
            del found[real]
        is_new = found != self._aliases
        self._aliases = found
        return is_new

    def _is_taken(self, real: bytes) -> bool:
        """Say whether a directory has to do with a root by its own name."""
        return any(is_in(root, real) or is_in(real, root) for root in self.paths)

    def named(self, path: bytes) -> bytes:
        """Return a path by the name of its root, if it has an alias in front."""
        return named(self._aliases, path)

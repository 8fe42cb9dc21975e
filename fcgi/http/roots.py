"""Where the script of a URL may be: in the roots of all pools, by its names."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from luafarm.config.settings import PoolSettings
from luafarm.scriptnames import ScriptNames

INDEX: Final = b"index.lua"


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a root where the script of a path may be."""

    root: bytes
    script: bytes  # in the root; any component may turn out to be the file
    info: bytes  # what certainly is behind it: PATH_INFO


class Roots:
    """The roots of all pools, in the order of the settings."""

    def __init__(self, pools: Iterable[PoolSettings]) -> None:
        self._roots = [
            (os.fsencode(root).rstrip(b"/"), ScriptNames(pool.scripts))
            for pool in pools
            for root in pool.root
        ]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._roots)

    def places(self, path: bytes) -> Iterator[Location]:
        """Return where the script of a path may be, in turn.

        path: of a URL, decoded, with a slash at first and no `..` component.
        """
        for root, names in self._roots:
            ends = names.ends(path)
            meant = path
            if not ends and path.endswith(b"/"):
                meant = path + INDEX  # a directory means its index
                ends = names.ends(meant)
            if ends:
                yield Location(root, meant[: ends[-1]], meant[ends[-1] :])

"""Which scripts are to be loaded before anybody asks for them."""

import glob
import itertools
import os
from typing import Final

from broker.resolve import PoolPaths
from luafarm.config.settings import Settings
from luafarm.names import Pool

_MOST: Final = 10_000  # matches of one pattern; a farm takes fewer


def preloads(settings: Settings, pools: dict[Pool, PoolPaths]) -> list[bytes]:
    """Return the paths that match the `preload` patterns of all pools."""
    found: dict[bytes, None] = {}
    for pool, paths in pools.items():
        for pattern in settings.pool[pool].preload:
            for root in paths.roots:
                matches = glob.iglob(  # noqa: PTH207 - bytes
                    os.fsencode(pattern), root_dir=root, recursive=True
                )
                for match in itertools.islice(matches, _MOST):
                    found[root.rstrip(b"/") + b"/" + match] = None
    return list(found)

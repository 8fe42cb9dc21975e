"""Landlock: a process gives up every right to files, network and neighbours for good.

The ruleset handles all rights that the running kernel knows and allows none of them.
Which those are is asked, not looked up by version: the kernel refuses a mask with an
unknown bit, so the widest mask that it takes is the whole. Rights of later kernels,
such as connecting to a UNIX socket by path, are given up without a new table.
"""

# Impure.

import errno
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from vmhost.sandbox import kernel

_MOST_BITS: Final = 32  # more rights of one kind than any kernel is likely to have


@dataclass(frozen=True, slots=True)
class Taken:
    """What a ruleset took away: the kernel's version and the rights as bit masks."""

    abi: int
    files: int
    network: int
    scopes: int

    @property
    def detail(self) -> str:
        """One line for the report of layers."""
        network = "TCP" if self.network else "no network"
        scopes = "signals and abstract sockets" if self.scopes else "no scopes"
        return f"ABI {self.abi}: files, {network}, {scopes}"


def _widest(accepted: Callable[[int], bool]) -> int:
    for bits in range(_MOST_BITS, 0, -1):
        mask = (1 << bits) - 1
        if accepted(mask):
            return mask
    return 0


def _ruleset(files: int, network: int, scopes: int) -> int:
    # struct landlock_ruleset_attr; trailing zeros are what an older kernel ignores
    return kernel.create_ruleset(struct.pack("=QQQ", files, network, scopes))


def _accepts(files: int, network: int, scopes: int) -> bool:
    try:
        os.close(_ruleset(files, network, scopes))
    except OSError as error:
        if error.errno in {errno.EINVAL, errno.E2BIG}:
            return False
        raise
    return True


def rights() -> Taken:
    """Return all rights that this kernel can take away. Raise OSError without any."""
    abi = kernel.landlock_abi()
    files = _widest(lambda mask: _accepts(mask, 0, 0))
    network = _widest(lambda mask: _accepts(files, mask, 0))
    scopes = _widest(lambda mask: _accepts(files, 0, mask))
    return Taken(abi, files, network, scopes)


def give_up(held: Taken) -> None:
    """Give up these rights; needs no_new_privs, binds threads started later only."""
    ruleset = _ruleset(held.files, held.network, held.scopes)
    try:
        kernel.restrict_self(ruleset)
    finally:
        os.close(ruleset)

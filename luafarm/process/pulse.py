"""How a process says to whoever watches it that it serves, and that its loop turns.

A parent hands each role a pipe, a service manager hands the parent a socket. A loop
calls `beat` whenever it turns, and at least every EVERY_S; what that writes, at most
one byte in that time, is nothing on the way of a request. Who hears no beat for long
kills the process and starts another: what stands still would hold up everybody, and
only a kill reaches it for sure.
"""

# Impure.

import contextlib
import os
import re
from collections.abc import Sequence
from typing import Final

from luafarm.process.notify import Manager

EVERY_S: Final = 1.0
"""How often a loop that turns says so."""

SERVES: Final = b"+"
BLIND: Final = b"-"
"""What is written to the parent once the process serves: whether it knows the farm, or
has heard nothing of it yet."""

BEAT: Final = b"."

_UIDS: Final = re.compile(rb"\[([0-9:,]+)\]")

_OPTION: Final = "--pulse"
_SHARE: Final = 0.5  # sd_watchdog_enabled(3): half of the time that the manager allows


class Pulse:
    """Who watches this process, and when it has to give the next sign of life."""

    def __init__(self, parent: int = -1, manager: Manager | None = None) -> None:
        """parent: the pipe to it, owned from now on; -1: there is no parent to tell."""
        self._parent = parent
        self._manager = manager
        self._every_s = EVERY_S
        if manager is not None and manager.watchdog_s:
            self._every_s = min(EVERY_S, _SHARE * manager.watchdog_s)
        self._due = 0.0
        if parent >= 0:
            os.set_inheritable(parent, False)  # its end says that this process ended
            os.set_blocking(parent, False)

    @property
    def every_s(self) -> float:
        """How often `beat` must be called at least."""
        return self._every_s

    def beat(self, now: float) -> bool:
        """Say that the loop turns; return whether it was time for that."""
        if now < self._due:
            return False
        self._due = now + self._every_s
        self._write(BEAT)
        if self._manager is not None and self._manager.watchdog_s:
            self._manager.alive()
        return True

    def serves(self, status: str, *, knows_farm: bool = True) -> None:
        """Say that this process serves from now on, or again after `reloads`."""
        self._write(SERVES if knows_farm else BLIND)
        if self._manager is not None:
            self._manager.ready(status)

    def takes(self, uids: str) -> None:
        """Tell the parent which uids this process gives to its own; see `uids_in`."""
        self._write(f"[{uids}]".encode())

    def reloads(self) -> None:
        """Say that it takes new settings; `serves` follows."""
        if self._manager is not None:
            self._manager.reloading()

    def stops(self) -> None:
        """Say that it has begun to end."""
        if self._manager is not None:
            self._manager.stopping()

    def environment(self) -> dict[str, str]:
        """Return what the next program of this process has to find to go on."""
        return {} if self._manager is None else self._manager.environment()

    def _write(self, said: bytes) -> None:
        if self._parent >= 0:
            # a parent that does not read will find enough; one that is gone, nothing
            with contextlib.suppress(OSError):
                os.write(self._parent, said)


def uids_in(said: bytes) -> str:
    """Return the uids of which a child has told in what it said; empty: of none."""
    found = _UIDS.search(said)
    return "" if found is None else found[1].decode()


def option(fd: int) -> list[str]:
    """Return what the command line of a child says of its pipe."""
    return [_OPTION, str(fd)]


def take(argv: Sequence[str]) -> tuple[Pulse, list[str]]:
    """Take what is said of the pulse out of a child's command line."""
    rest = list(argv)
    parent = -1
    if _OPTION in rest:
        at = rest.index(_OPTION)
        parent = int(rest[at + 1])
        del rest[at : at + 2]
    return Pulse(parent), rest

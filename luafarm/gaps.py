"""Gaps: times in which a process did not run, though it wanted to.

A process that was stopped, or a machine that was paused, has heard nobody meanwhile. So
who waits for signs of life with a limit gives everybody a new lease after a gap, before
anybody is taken for silent. A gap shows between two ticks that are further apart than
any work explains.
"""

# Compiled.

from math import inf
from typing import Final

GAP_S: Final = 1.0  # ticks are 0.1 to 1 s apart; a busy machine delays them by less


class Gaps:
    """Compares ticks with each other."""

    def __init__(self, tick_s: float) -> None:
        """tick_s: how far ticks are apart."""
        self._most_s = tick_s + GAP_S
        self._ticked_at = inf  # before the first one nobody was waited for

    def tick(self, now: float) -> float:
        """Take note of a tick; return how long the process was stopped before it."""
        passed_s = now - self._ticked_at
        self._ticked_at = now
        return passed_s if passed_s > self._most_s else 0.0

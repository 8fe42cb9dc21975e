"""A supervisor's end: that it stops or leaves, by when, and with which exit code.

One that stops lets requests finish that run, as long as it may wait for them. One that
leaves has another beside it that serves already: the broker has its hosts replaced, and
it ends with the last of them, however long that takes.
"""

from math import inf
from typing import Final

LEAVE_S: Final = 60.0
"""For the broker to have all hosts of a supervisor that leaves replaced; what is left
then is drained without it."""

ALONE_S: Final = 10.0
"""The same, where no broker answers, or none of the same protocol."""


class Departure:
    """Whether a supervisor is on its way to the end, and how far."""

    def __init__(self) -> None:
        self.is_stopping = False
        self.exit_code = 0
        self._leaves_by = 0.0  # then hosts are drained unasked; 0.0: it stays
        self._has_ended = False

    @property
    def is_leaving(self) -> bool:
        """Whether another supervisor takes over, and no seat is filled any more."""
        return self._leaves_by > 0.0

    @property
    def has_begun(self) -> bool:
        """Whether this supervisor stops or leaves."""
        return self.is_stopping or self.is_leaving

    def leave(self, now: float, *, has_broker: bool) -> bool:
        """Begin to leave; return False when the end has begun before."""
        if self.has_begun:
            return False
        self._leaves_by = now + (LEAVE_S if has_broker else ALONE_S)
        return True

    def stop(self, code: int) -> bool:
        """Begin to stop; return False when that has begun before."""
        if self.is_stopping:
            return False
        self.is_stopping = True
        self.exit_code = code
        return True

    def met_broker(self, now: float) -> None:
        """Give a broker that has just come its time."""
        if self.is_leaving:
            self._leaves_by = max(self._leaves_by, now + LEAVE_S)

    def is_late(self, now: float) -> bool:
        """Return once that hosts have to be drained which no broker has replaced."""
        if not self.is_leaving or now < self._leaves_by:
            return False
        self._leaves_by = inf
        return True

    def ends(self) -> bool:
        """Return once that the end has come: nothing is left."""
        is_first = not self._has_ended
        self._has_ended = True
        return is_first

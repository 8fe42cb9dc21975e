"""How long the broker is away: for a moment while it is replaced, or for longer."""

from typing import Final

LATE_S: Final = 2.0
"""A broker that is replaced, even one that died, is back by then."""


class Absence:
    """Since when there is no broker that was there before."""

    def __init__(self) -> None:
        self._since: float | None = None  # None: it is there, or this was told

    def begins(self, now: float) -> None:
        """Take note that the broker is gone."""
        self._since = now

    def ends(self) -> None:
        """Take note that a broker is there."""
        self._since = None

    def is_late(self, now: float) -> bool:
        """Return once that the broker is away for longer than it may be."""
        if self._since is None or now - self._since <= LATE_S:
            return False
        self._since = None
        return True

"""An episode: a trouble that is worth one line in the log each time it begins."""

# Compiled.

from typing import Final

CALM_S: Final = 10.0
"""Without it: then it is over, and when it comes again that is a new one."""


class Episode:
    """Tells from a count that only grows when a new episode begins."""

    def __init__(self) -> None:
        self._count = 0
        self._seen_at = -CALM_S

    def begins(self, count: int, now: float) -> bool:
        """Take the count as it is now; return whether a new episode has begun."""
        if count == self._count:
            return False
        is_new = now - self._seen_at >= CALM_S
        self._count = count
        self._seen_at = now
        return is_new

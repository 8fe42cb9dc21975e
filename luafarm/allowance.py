"""How much of something may be done: a bucket that fills steadily."""

# Compiled.


class Allowance:
    """Some at once, then so many a second.

    Whoever drops what is too much asks `left` before it takes; whoever does it later
    takes and waits.
    """

    def __init__(self, at_once: float, per_s: float) -> None:
        self._at_once = at_once
        self._per_s = per_s
        self._left = at_once
        self._at = 0.0  # when it was filled last

    def left(self, now: float) -> float:
        """Return what may be done now; none or less: nothing, more was done already."""
        filled = self._left + (now - self._at) * self._per_s
        self._left = min(self._at_once, filled)
        self._at = now
        return self._left

    def take(self, now: float, amount: float = 1.0) -> float:
        """Take an amount; return how long to wait before doing it, 0: not at all.

        Each that must wait is due a little later than the one before.
        """
        self._left = self.left(now) - amount
        return max(0.0, -self._left / self._per_s)

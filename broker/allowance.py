"""How often something may be done: a bucket that fills steadily."""


class Allowance:
    """Some at once, then so many a second."""

    def __init__(self, at_once: int, per_s: float) -> None:
        self._at_once = float(at_once)
        self._per_s = per_s
        self._left = float(at_once)
        self._at = 0.0

    def take(self, now: float) -> float:
        """Take one; return how long to wait before doing it, 0 when it may be at once.

        Each one that must wait is due a little later than the one before.
        """
        if self._at:
            filled = self._left + (now - self._at) * self._per_s
            self._left = min(self._at_once, filled)
        self._at = now
        self._left -= 1.0
        return max(0.0, -self._left / self._per_s)

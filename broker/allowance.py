"""How often something may be done: a bucket that fills steadily."""

# Compiled.


class Allowance:
    """Some at once, then a number each second."""

    def __init__(self, at_once: float, per_s: float) -> None:
        self._at_once = at_once
        self._per_s = per_s
        self._left = at_once
        self._at = 0.0

    def take(self, now: float, amount: float = 1.0) -> float:
        """Take an amount; return how long to wait before doing it, 0: not at all.

        Each one that must wait is due a little later than the one before.
        """
        if self._at:
            filled = self._left + (now - self._at) * self._per_s
            self._left = min(self._at_once, filled)
        self._at = now
        self._left -= amount
        return max(0.0, -self._left / self._per_s)

"""Popularity that fades: sums that halve in each half-life, and the order they give.

Every state is worth the waiting that it saves: the sum over its uses of the wait that
each would have had without it, a use counting half after each half-life. As all worths
decay at the same rate, `log2(worth) + time / half-life` orders states without ever
being touched between uses (forward decay: Cormode et al., ICDE 2009).
"""

from math import exp2, log2
from typing import Final

_LEAST: Final = 1e-9  # uses or seconds that stand for none where a logarithm is taken


class Heat:
    """A sum whose summands halve in each half-life."""

    def __init__(self, amount: float, at: float) -> None:
        self.amount = amount
        self.at = at

    def add(self, amount: float, at: float, half_life: float) -> None:
        """Count `amount` that happened at time `at`, which may lie before the last."""
        if at >= self.at:
            self.amount = self.amount * exp2((self.at - at) / half_life) + amount
            self.at = at
        else:
            self.amount += amount * exp2((at - self.at) / half_life)

    def now(self, now: float, half_life: float) -> float:
        """Return what is left of the sum."""
        return self.amount * exp2((self.at - now) / half_life)


def key(heat: Heat, gain: float, size: float, half_life: float) -> float:
    """Return the place of a state in the order of worth; the lowest goes first.

    gain: seconds that one use saves; size: 1, or KiB where memory is what is short.
    """
    worth = max(heat.amount, _LEAST) * max(gain, _LEAST) / max(size, _LEAST)
    return log2(worth) + heat.at / half_life


def worth(key: float, now: float, half_life: float) -> float:
    """Return the seconds that a key stands for at this time."""
    return exp2(min(key - now / half_life, 1000.0))  # 1000: below overflow

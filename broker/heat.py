"""Popularity that fades: sums that halve in each half-life, and the order they give.

Every state is worth the waiting that it saves: the sum over its uses of the wait that
each would have had without it, a use counting half after each half-life. As all worths
decay at the same rate, `log2(worth) + time` orders states without ever being touched
between uses (forward decay: Cormode et al., ICDE 2009), time being counted in
half-lives.

How long a half-life lasts follows the farm (`Fading`): where few requests come, states
stay long and their uses must be remembered long to tell them apart. A half-life of a
minute that is right at hundreds of requests per second costs twice the waiting at 30
(`python -m bench.simulate`). A change of its length changes no order: it only makes the
time that all keys are counted in run slower or faster from then on.
"""

# Compiled.

from math import exp2, log2
from typing import Final

_LEAST: Final = 1e-9  # uses or seconds that stand for none where a logarithm is taken


STAYS: Final = 6.0
"""Half-life, in terms of how long states stay until they are evicted."""

_LONGEST: Final = 60.0  # times the setting: popularity changes within days
_LEARN: Final = 1.0 / 64.0  # weight of the newest eviction in the mean stay


class Fading:
    """Time counted in half-lives, whose length follows how long states stay."""

    def __init__(self, least_s: float, now: float) -> None:
        self._least_s = least_s
        self._stay_s = 0.0
        self._lived = 0.0
        self._since = now
        #: what one lasts at present
        self.half_life_s = least_s

    def at(self, when: float) -> float:
        """Return a time in half-lives; when: monotonic seconds, about now."""
        return self._lived + (when - self._since) / self.half_life_s

    def stayed(self, stay_s: float, now: float) -> None:
        """Note how long a state stayed that is evicted now."""
        self._stay_s += (stay_s - self._stay_s) * _LEARN
        self._lived = self.at(now)
        self._since = now
        longest_s = self._least_s * _LONGEST
        self.half_life_s = min(max(self._least_s, STAYS * self._stay_s), longest_s)


class Heat:
    """A sum whose summands halve with each unit of time."""

    def __init__(self) -> None:
        self.amount = 0.0
        self.at = 0.0

    def add(self, amount: float, at: float) -> None:
        """Count `amount` that happened at time `at`, which may lie before the last."""
        if at >= self.at:
            self.amount = self.amount * exp2(self.at - at) + amount
            self.at = at
        else:
            self.amount += amount * exp2(at - self.at)

    def now(self, now: float) -> float:
        """Return what is left of the sum."""
        return self.amount * exp2(self.at - now)


def key(heat: Heat, gain: float) -> float:
    """Return the place of a state in the order of worth; the lowest goes first.

    gain: seconds that one use saves.
    """
    worth = max(heat.amount, _LEAST) * max(gain, _LEAST)
    return log2(worth) + heat.at


def worth(key: float, now: float) -> float:
    """Return the seconds that a key stands for at this time."""
    return exp2(min(key - now, 1000.0))  # 1000: below overflow

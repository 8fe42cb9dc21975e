"""When a script gets a further state, and what that may cost the farm.

A clone is loaded only for requests that wait, and only when it can help: some host of
its lane is idle, the wait is longer than loading takes, and what waits is worth more
than the state that must go for it. Loading clones has a budget of CPU time, so that
cloning can never feed an overload. Nothing takes clones away: fronts use the states of
a script in order, so an unneeded one has no uses, and its worth makes it the next
victim.
"""

# Compiled.

from math import ceil
from typing import Final

LEAST_WAIT_S: Final = 0.001
"""Shorter waits are not worth a state, however quickly it loads."""

WORTH_RATIO: Final = 1.5
"""What waits must be worth this many times what the victim is worth."""

_BURST_S: Final = 8.0
"""Seconds of unused budget that a flash crowd may spend at once."""

_LEAST_BURST_S: Final = 0.25  # CPU seconds; so that small farms can clone at all
_LEAST_COST_S: Final = 0.0005  # CPU seconds of the cheapest load with its messages


class CloneAllowance:
    """CPU seconds that loading clones may take: a bucket that fills steadily."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._left = -1.0  # not filled yet
        self._at = 0.0

    def allows(self, load_s: float, cores: int, now: float) -> bool:
        """Take the cost of one load out of the bucket, or return False."""
        if self._share <= 0.0:
            return False
        rate = self._share * cores
        most = max(rate * _BURST_S, _LEAST_BURST_S)
        if self._left < 0.0:
            self._left, self._at = most, now
        self._left = min(most, self._left + (now - self._at) * rate)
        self._at = now
        cost = max(load_s, _LEAST_COST_S)
        # a load dearer than the whole bucket waits for a full one, not for ever
        if self._left < min(cost, most):
            return False
        self._left = max(0.0, self._left - cost)
        return True


def wanted(queued: int, service_s: float, load_s: float, states: int) -> int:
    """Return how many clones the queue calls for, at most doubling the states.

    As many as empty the queue within the time that loading one takes.
    """
    within = max(load_s, LEAST_WAIT_S)
    needed = ceil(queued * max(service_s, 0.0) / within)
    return max(1, min(needed - states, states))

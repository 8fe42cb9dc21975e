"""How long a request waits before it goes to a VM host of the other lane."""

# Compiled.

from typing import Final

LEAST_S: Final = 0.01
"""Mostly a host of its own lane is free again before, and what is lent at once costs
the quick a twentieth of their tail (simulated)."""

MOST_S: Final = 0.1
"""Whoever takes longer mostly waits as well, and keeps no processor from the others."""


def patience_s(mean_s: float) -> float:
    """Return the wait that is due, for a script whose requests take so long.

    Half of that: of the hosts of its own lane one is free again by then, or all are
    taken for longer.
    """
    return min(max(mean_s / 2, LEAST_S), MOST_S)

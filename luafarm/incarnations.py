"""Random numbers by which a process, or what it says first, is known again."""

# Impure.

import secrets
from typing import Final

_BITS: Final = 62  # the largest integer that every peer reads has 63


def fresh() -> int:
    """Return a number that nobody else has; never 0."""
    return 1 + secrets.randbits(_BITS)

"""How much of what scripts say is written down: so many bytes a second for each pool.

What one tenant's scripts log must neither fill the disk nor take the time of who writes
it. What is over is counted, and told once a second.
"""

from collections.abc import Mapping
from typing import Final

from luafarm.settings import PoolSettings

AT_ONCE_S: Final = 10.0
"""So many seconds' worth may come at once."""

OVERHEAD: Final = 64
"""Bytes that a line costs besides its text: the time, and who writes."""

_TOLD_EVERY_S: Final = 1.0


class _Purse:
    def __init__(self, per_s: float) -> None:
        self.per_s = per_s
        self.left = per_s * AT_ONCE_S
        self.at = 0.0  # when it was filled last
        self.dropped = 0  # lines, not told yet
        self.told_at = 0.0


class LogRate:
    """What each pool may still write."""

    def __init__(self, pools: Mapping[str, PoolSettings]) -> None:
        self._purses = {name: _Purse(pool.log_rate) for name, pool in pools.items()}

    def admit(self, pool: str, size: int, lines: int, now: float) -> bool:
        """Say whether this is to be written, and count it; size: bytes of the text."""
        purse = self._purses.get(pool)
        if purse is None:  # our settings are not the broker's
            purse = self._purses[pool] = _Purse(PoolSettings().log_rate)
        filled = purse.left + (now - purse.at) * purse.per_s
        purse.left = min(filled, purse.per_s * AT_ONCE_S)
        purse.at = now
        if purse.left <= 0.0:
            purse.dropped += lines
            return False
        purse.left -= size + lines * OVERHEAD
        return True

    def dropped(self, now: float) -> list[tuple[str, int]]:
        """Return pools and how many of their lines were not written since told last."""
        found: list[tuple[str, int]] = []
        for name, purse in self._purses.items():
            if purse.dropped and now - purse.told_at >= _TOLD_EVERY_S:
                found.append((name, purse.dropped))
                purse.dropped = 0
                purse.told_at = now
        return found

"""How much of what scripts say is written down: each pool has its bytes a second.

What one tenant's scripts log must neither fill the disk nor take the time of who writes
it. What is over is counted, and told once a second. It is not even decoded: a VM host
that was taken over may send as many lines, and as long ones, as a frame can hold.
"""

from typing import Final

from luafarm.config.settings import PoolSettings, Settings
from luafarm.wire import loglines

AT_ONCE_S: Final = 10.0
"""So many seconds' worth may come at once."""

OVERHEAD: Final = 64
"""Bytes that a line costs besides its text: the time, and who writes."""

SLACK: Final = 256
"""Bytes of a log besides lines with text: how many were left out, where one was cut."""

_BESIDES: Final = 2  # bytes of a line besides its text: the level, NUL
_TOLD_EVERY_S: Final = 1.0


class _Purse:
    def __init__(self, pool: PoolSettings, settings: Settings) -> None:
        self.per_s = float(pool.log_rate)
        self.left = self.per_s * AT_ONCE_S
        self.at = 0.0  # when it was filled last
        self.dropped = 0  # lines, not told yet
        self.told_at = 0.0
        # no host's word is taken for which script this is: the longest of any
        log_bytes = max([pool.log_bytes, *[s.log_bytes or 0 for s in settings.script]])
        log_lines = max([pool.log_lines, *[s.log_lines or 0 for s in settings.script]])
        #: bytes of the longest log of an honest host
        self.max_log = log_bytes + _BESIDES * log_lines + SLACK

    def fill(self, now: float) -> None:
        filled = self.left + (now - self.at) * self.per_s
        self.left = min(filled, self.per_s * AT_ONCE_S)
        self.at = now


class LogRate:
    """What each pool may still write."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._purses = {n: _Purse(pool, settings) for n, pool in settings.pool.items()}

    def admit(self, pool: str, size: int, now: float) -> bool:
        """Say whether a text is to be written, and count it; size: its bytes."""
        purse = self._filled(pool, now)
        if purse.left <= 0.0:
            purse.dropped += 1
            return False
        purse.left -= size + OVERHEAD
        return True

    def lines(
        self, pool: str, log: bytes, name_bytes: int, now: float
    ) -> list[tuple[str, str]]:
        """Return (level, text) of those lines of a log that are to be written.

        log: as `luafarm.wire.loglines` has it; what is longer than any script's may be
        is cut, and counts as one line left out. name_bytes: what is written before
        each.
        """
        purse = self._filled(pool, now)
        written: list[tuple[str, str]] = []
        at = 0
        while purse.left > 0.0:
            end = log.find(b"\0", at, purse.max_log)
            if end < 0:
                break
            level, text = loglines.line(log[at:end])
            written.append((level, text))
            purse.left -= len(text.encode()) + name_bytes + OVERHEAD
            at = end + 1
        purse.dropped += log.count(b"\0", at, purse.max_log)
        if len(log) > purse.max_log:
            purse.dropped += 1
        return written

    def dropped(self, now: float) -> list[tuple[str, int]]:
        """Return pools and how many of their lines were not written since told last."""
        found: list[tuple[str, int]] = []
        for name, purse in self._purses.items():
            if purse.dropped and now - purse.told_at >= _TOLD_EVERY_S:
                found.append((name, purse.dropped))
                purse.dropped = 0
                purse.told_at = now
        return found

    def _filled(self, pool: str, now: float) -> _Purse:
        purse = self._purses.get(pool)
        if purse is None:  # our settings are not the broker's
            purse = self._purses[pool] = _Purse(PoolSettings(), self._settings)
        purse.fill(now)
        return purse

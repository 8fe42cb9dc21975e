"""How much of what scripts say is written down: each pool may log some bytes a second.

What one tenant's scripts log must neither fill the disk nor take the time of who writes
it. What is over is counted, and told once a second. It is not even decoded: a VM host
that was taken over may send as many lines, and as long ones, as a frame can hold.
"""

from typing import Final

from luafarm.allowance import Allowance
from luafarm.config.settings import PoolSettings, Settings
from luafarm.wire import loglines

AT_ONCE_S: Final = 10.0
"""Seconds' worth of bytes that may come at once."""

OVERHEAD: Final = 64
"""Bytes that a line costs besides its text: the time, and who writes."""

SLACK: Final = 256
"""Bytes of a log besides lines with text: how many were left out, where one was cut."""

_BESIDES: Final = 2  # bytes of a line besides its text: the level, NUL
_TOLD_EVERY_S: Final = 1.0


class _PoolRate:
    def __init__(self, pool: PoolSettings, settings: Settings) -> None:
        self.bytes = Allowance(AT_ONCE_S * pool.log_rate, pool.log_rate)
        self.dropped = 0  # lines, not told yet
        self.told_at = 0.0
        # no host's word is taken for which script this is: the longest of any
        log_bytes = max([pool.log_bytes, *[s.log_bytes or 0 for s in settings.script]])
        log_lines = max([pool.log_lines, *[s.log_lines or 0 for s in settings.script]])
        #: bytes of the longest log of an honest host
        self.max_log = log_bytes + _BESIDES * log_lines + SLACK


class LogRate:
    """What each pool may still write."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rates = {
            n: _PoolRate(pool, settings) for n, pool in settings.pool.items()
        }

    def admit(self, pool: str, size: int, now: float) -> bool:
        """Say whether a text is to be written, and count it; size: its bytes."""
        rate = self._rate(pool)
        if rate.bytes.left(now) <= 0.0:
            rate.dropped += 1
            return False
        rate.bytes.take(now, size + OVERHEAD)
        return True

    def lines(
        self, pool: str, log: bytes, name_bytes: int, now: float
    ) -> list[tuple[str, str]]:
        """Return (level, text) of those lines of a log that are to be written.

        log: as `luafarm.wire.loglines` has it; what is longer than any script's may be
        is cut, and counts as one line left out. name_bytes: what is written before
        each.
        """
        rate = self._rate(pool)
        written: list[tuple[str, str]] = []
        at = 0
        while rate.bytes.left(now) > 0.0:
            end = log.find(b"\0", at, rate.max_log)
            if end < 0:
                break
            level, text = loglines.line(log[at:end])
            written.append((level, text))
            rate.bytes.take(now, len(text.encode()) + name_bytes + OVERHEAD)
            at = end + 1
        rate.dropped += log.count(b"\0", at, rate.max_log)
        if len(log) > rate.max_log:
            rate.dropped += 1
        return written

    def dropped(self, now: float) -> list[tuple[str, int]]:
        """Return pools and how many of their lines were not written since told last."""
        found: list[tuple[str, int]] = []
        for name, rate in self._rates.items():
            if rate.dropped and now - rate.told_at >= _TOLD_EVERY_S:
                found.append((name, rate.dropped))
                rate.dropped = 0
                rate.told_at = now
        return found

    def _rate(self, pool: str) -> _PoolRate:
        rate = self._rates.get(pool)
        if rate is None:  # our settings are not the broker's
            rate = self._rates[pool] = _PoolRate(PoolSettings(), self._settings)
        return rate

"""What scripts say when they are loaded or closed, for our log."""

import logging
from collections.abc import Mapping
from typing import Final

from broker.resolve import shown
from luafarm import loglines
from luafarm.lograte import LogRate
from luafarm.names import Pool, Script
from luafarm.settings import PoolSettings

logger = logging.getLogger(f"luafarm.{__name__}")

_MAX_LOG: Final = 64 << 10  # bytes of one load or closing


class ScriptLog:
    """Writes lines, no more than their pool may."""

    def __init__(self, pools: Mapping[str, PoolSettings]) -> None:
        self._rate = LogRate(pools)

    def lines(self, pool: Pool, script: Script, log: bytes, now: float) -> None:
        """Log what a script said."""
        name = shown(script)
        for level, text in loglines.decode(log[:_MAX_LOG]):
            self.write(pool, level, f"script={name} {text}", now)

    def write(self, pool: Pool, level: str, text: str, now: float) -> None:
        """Log one text in which scripts of a pool have a say."""
        size = len(text.encode("utf-8", "backslashreplace"))
        if self._rate.admit(pool, size, 1, now):
            logger.log(getattr(logging, level.upper()), "%s", text)

    def tick(self, now: float) -> None:
        """Tell what was left out; now and then."""
        for pool, lines in self._rate.dropped(now):
            logger.warning("pool=%s logs too much: %d lines left out", pool, lines)

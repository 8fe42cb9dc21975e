"""What scripts say when they are loaded or closed, for our log."""

# Impure.

import logging

from broker.resolve import shown
from luafarm.config.settings import Settings
from luafarm.names import Pool, Script
from luafarm.process.lograte import LogRate

logger = logging.getLogger(f"luafarm.{__name__}")


class ScriptLog:
    """Writes lines, no more than their pool may."""

    def __init__(self, settings: Settings) -> None:
        self._rate = LogRate(settings)

    def lines(self, pool: Pool, script: Script, log: bytes, now: float) -> None:
        """Log what a script said."""
        name = f"script={shown(script)}"
        for level, text in self._rate.lines(pool, log, len(name) + 1, now):
            _log(level, f"{name} {text}")

    def write(self, pool: Pool, level: str, text: str, now: float) -> None:
        """Log one text in which scripts of a pool have a say."""
        size = len(text.encode("utf-8", "backslashreplace"))
        if self._rate.admit(pool, size, now):
            _log(level, text)

    def tick(self, now: float) -> None:
        """Tell what was left out; now and then."""
        for pool, lines in self._rate.dropped(now):
            logger.warning("pool=%s logs too much: %d lines left out", pool, lines)


def _log(level: str, text: str) -> None:
    logger.log(getattr(logging, level.upper()), "%s", text)

"""What scripts say and how they fail, for our log and for the web server's."""

# Impure.

import logging
import time
from typing import Final

from fcgi.dispatch.tables import Pending
from luafarm.config.settings import Settings
from luafarm.process.lograte import LogRate
from luafarm.wire import loglines
from luafarm.wire.messages import ScriptError

logger = logging.getLogger("luafarm.script")

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class ScriptLog:
    """Writes lines, no more than their pool may; returns them as they go to STDERR."""

    def __init__(self, settings: Settings) -> None:
        self._stderr = settings.front.stderr
        self._rate = LogRate(settings)

    def lines(self, pending: Pending, log: bytes) -> bytes:
        """Log what a script said."""
        if not log:
            return b""
        script = _name(pending)
        size = len(script) + len(": ")
        lines = self._rate.lines(_pool(pending), log, size, time.monotonic())
        for level, text in lines:
            logger.log(_LEVELS[level], "%s: %s", script, text)
        if not self._stderr:
            return b""
        return "".join([f"{script}: {text}\n" for _, text in lines]).encode()

    def error(self, pending: Pending, error: ScriptError) -> bytes:
        """Log why a script failed; the error is cut already."""
        budget = f" budget={error.budget}" if error.budget else ""
        if error.budget and error.line:
            budget += f" line={error.line}"
        text = f"{error.kind}{budget}: {error.message}\n{error.traceback}"
        text = f"{_name(pending)}: {loglines.printable(text)}".rstrip()
        data = f"{text}\n".encode()
        if not self._rate.admit(_pool(pending), len(data), time.monotonic()):
            return b""
        logger.error("%s", text)
        return data if self._stderr else b""

    def bad_reply(self, pending: Pending, error: Exception) -> None:
        """Log that what a script answered is no reply."""
        text = f"{_name(pending)}: {error}"
        if self._rate.admit(_pool(pending), len(text), time.monotonic()):
            logger.error("%s", text)

    def tick(self, now: float) -> None:
        """Tell what was left out; now and then."""
        for pool, lines in self._rate.dropped(now):
            logger.warning("pool=%s logs too much: %d lines left out", pool, lines)


def _pool(pending: Pending) -> str:
    return pending.entry.pool if pending.entry else ""


def _name(pending: Pending) -> str:
    path = pending.entry.script if pending.entry else pending.path
    return loglines.printable(path.decode("utf-8", "backslashreplace"))

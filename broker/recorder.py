"""What fronts and hosts report, written to a file for the simulator.

For who works on the policies: LUAFARM_RECORD=FILE in the broker's environment.

One JSON object a line: `{"script": path, "at": s, "requests": n}` for requests that
were served, `{"script": path, "at": s, "load_s": s, "kib": n}` for a state that was
loaded. `at` is monotonic time. Read by `python -m bench.simulate --trace FILE`.
"""

# Impure.

import json
import logging
from pathlib import Path
from typing import Final

from broker.events import Event, Reported, StateLoaded
from broker.resolve import shown
from luafarm.errors import SettingsError

logger = logging.getLogger(f"luafarm.{__name__}")

_BUFFER: Final = 1 << 16


class Recorder:
    """Appends to the file; gives up, with one line in the log, when it cannot."""

    def __init__(self, file: Path) -> None:
        """Open the file. Raise SettingsError."""
        self._file = file
        try:
            self._stream = file.open("a", buffering=_BUFFER, encoding="ascii")
        except OSError as error:
            raise SettingsError(f"LUAFARM_RECORD={file}: {error.strerror}") from None
        self._works = True

    def record(self, event: Event, now: float) -> None:
        """Write down what the simulator needs of an event."""
        match event:
            case Reported(_, report):
                for row in report.uses:
                    at = round(now - row.last_us / 1e6, 6)
                    self._write(row.script, {"at": at, "requests": row.requests})
            case StateLoaded():
                cost = {"load_s": event.load_s, "kib": event.kib}
                self._write(event.script, {"at": round(now, 6), **cost})
            case _:
                pass

    def _write(self, script: bytes, figures: dict[str, float]) -> None:
        if not self._works:
            return
        line = json.dumps({"script": shown(script), **figures})
        try:
            self._stream.write(line + "\n")
        except OSError as error:
            self._works = False
            logger.warning("record=%s: %s", self._file, error.strerror)

    def close(self) -> None:
        """Write what is buffered and close the file."""
        try:
            self._stream.close()
        except OSError as error:
            logger.warning("record=%s: %s", self._file, error.strerror)

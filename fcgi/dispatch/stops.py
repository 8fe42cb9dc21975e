"""Requests that a budget stopped, counted for the broker's status."""

from typing import TYPE_CHECKING, Final

from luafarm.names import Script
from luafarm.wire.loglines import printable
from luafarm.wire.messages import ScriptError, StopRow

if TYPE_CHECKING:
    from luafarm.ends import Budget

_MOST: Final = 1000  # rows in one report
_MAX_TEXT: Final = 300


class Stops:
    """Counts since the last report."""

    def __init__(self) -> None:
        self._rows: dict[tuple[bytes, Budget], tuple[int, str]] = {}

    def note(self, script: bytes, error: ScriptError, service_us: int) -> None:
        """Count a request."""
        key = script, error.budget
        times, _ = self._rows.get(key, (0, ""))
        if times or len(self._rows) < _MOST:
            self._rows[key] = times + 1, _sentence(error, service_us)

    def take(self) -> tuple[StopRow, ...]:
        """Return the counts, and forget them."""
        rows = [
            StopRow(Script(script), budget, times, last)
            for (script, budget), (times, last) in self._rows.items()
        ]
        self._rows.clear()
        return tuple(rows)


def _sentence(error: ScriptError, service_us: int) -> str:
    """Return what was used up and where, in one line."""
    line = f"line {error.line}: " if error.line else ""
    return printable(
        f"{line}{error.message[:_MAX_TEXT]}, after {service_us / 1e6:.3g} s"
    )

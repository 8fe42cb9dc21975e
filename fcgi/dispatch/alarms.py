"""When the broker hears of pressure: requests that wait for taken hosts.

A script's queue is looked at after 1 ms and, while its oldest request waits, again
after 2, 4, ... 32 ms; not at each request.
"""

# Compiled.

from heapq import heappop, heappush
from typing import Final

from fcgi.dispatch.tables import Entry

PRESSURE_S: Final = 0.001  # first report of pressure; then doubling
PRESSURE_MAX_S: Final = 0.032  # uncapped, one refused clone would starve a script
PRESSURE_RESET_S: Final = 0.1  # without pressure for this long: it starts quickly again


class Alarms:
    """The queues to look at, by time. Entries with `is_watched` are in it, once."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, bytes]] = []

    def watch(self, entry: Entry, now: float) -> None:
        """Look at a script's queue in a moment: it may be pressure."""
        if entry.is_watched:
            return
        if now - entry.pressed >= PRESSURE_RESET_S:
            entry.pressure_s = PRESSURE_S
        entry.is_watched = True
        heappush(self._heap, (now + entry.pressure_s, entry.script))

    def next_at(self) -> float:
        """Return when `due` has something to look at; 0: never."""
        return self._heap[0][0] if self._heap else 0.0

    def due(self, entries: dict[bytes, Entry], now: float) -> list[Entry]:
        """Return the scripts that are under pressure now; look at them again later."""
        pressed: list[Entry] = []
        while self._heap and self._heap[0][0] <= now:
            _, path = heappop(self._heap)
            entry = entries.get(path)
            if entry is None or not entry.is_watched:
                continue
            waited = now - entry.queue[0].arrival if entry.queue else 0.0
            if not entry.hosts or waited < PRESSURE_S:
                entry.is_watched = False
                if entry.queue and entry.hosts:
                    self.watch(entry, now)
                continue
            pressed.append(entry)
            entry.pressed = now
            entry.pressure_s = min(entry.pressure_s * 2, PRESSURE_MAX_S)
            heappush(self._heap, (now + entry.pressure_s, path))
        return pressed

"""When something is done about requests that wait for taken hosts.

Hosts are lent to them, and the broker hears of pressure. A script's queue is looked at
after 1 ms and, while its oldest request waits, again after 2, 4, ... 32 ms; not at each
request.
"""

# Compiled.

from heapq import heappop, heappush
from typing import Final

from fcgi.dispatch.tables import Entry
from luafarm.names import HostId, Script
from luafarm.wire.messages import Pressure

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


def pressure(entry: Entry, idle: tuple[HostId, ...], now: float) -> Pressure:
    """Return what the broker is told of a script whose queue is not empty.

    Requests that are refused, as too many wait, count as if they waited as well, for as
    long as that is so: else none would ever wait for as long as a state takes to load.
    """
    stand = entry.stand
    total_s = sum([now - p.arrival for p in entry.queue])
    waited_s = now - entry.queue[0].arrival
    if stand.is_over:
        waited_s = max(waited_s, now - stand.over_since)
    told = Pressure(
        Script(entry.script),
        int(waited_s * 1e6),
        len(entry.queue) + stand.turned_away,
        int((total_s + stand.turned_away * waited_s) * 1e6),
        idle,
    )
    stand.turned_away = 0
    return told

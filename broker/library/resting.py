"""What waits until files have rested, in bounded number and bytes.

What is said of a file that may be half of a change is acted on later. Who says it
chooses how large it is and how often it comes; when too much waits, fronts are refused
for now and VM hosts are not heard for a while.
"""

from collections.abc import Callable
from enum import Enum
from heapq import heappop, heappush
from math import inf
from typing import Final

MOST: Final = 10_000
MOST_BYTES: Final = 64 << 20
"""Of all that waits, `ENTRY_BYTES` each included."""

ENTRY_BYTES: Final = 4 << 10
"""What one costs besides its message, which decoded takes several times its bytes."""

LONGEST_S: Final = 5.0
"""The longest that anything waits; shorter than fronts let requests wait."""


class Rest(Enum):
    """What is to be done with what was said of files."""

    NOW = 1  # they rest, or were waited for long enough
    LATER = 2  # it waits, and will be done
    FULL = 3  # too much waits already


class Resting:
    """What is to be done later, by the time when it is due."""

    def __init__(self) -> None:
        #: heap of (due, number, since, size, what to do then with `since`)
        self._heap: list[tuple[float, int, float, int, Callable[[float], None]]] = []
        self._number = 0
        self._bytes = 0

    def __len__(self) -> int:
        """Return how much waits."""
        return len(self._heap)

    @property
    def is_full(self) -> bool:
        """Whether nothing more is to be added."""
        return len(self._heap) >= MOST or self._bytes >= MOST_BYTES

    def add(
        self, due: float, since: float, size: int, again: Callable[[float], None]
    ) -> None:
        """Have `again` called with `since` when it is due; size: of its message."""
        self._number += 1
        size += ENTRY_BYTES
        self._bytes += size
        heappush(self._heap, (due, self._number, since, size, again))

    def due_at(self) -> float:
        """Return when the first is due; inf without any."""
        return self._heap[0][0] if self._heap else inf

    def release(self, now: float) -> None:
        """Do what is due; what it adds itself comes next time."""
        due: list[tuple[float, Callable[[float], None]]] = []
        while self._heap and self._heap[0][0] <= now:
            _, _, since, size, again = heappop(self._heap)
            self._bytes -= size
            due.append((since, again))
        for since, again in due:
            again(since)

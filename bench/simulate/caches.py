"""Eviction policies to compare with: which script goes when there is no room.

Each has the same three methods: `hit` for a use of a resident script, `add` for one
that becomes resident, `victim` that takes one out and returns it.
"""

import heapq
from collections import OrderedDict, deque
from typing import Final, Protocol

from bench.simulate.traces import Trace


class Policy(Protocol):
    """An eviction policy."""

    def hit(self, script: int, now: float) -> None:
        """Note a use of a resident script."""

    def add(self, script: int, now: float) -> None:
        """Note that a script becomes resident, because it is used."""

    def victim(self, now: float) -> int:
        """Take a script out and return it."""


class Lru:
    """Least recently used: what luafcgid does when its clock is fine enough."""

    def __init__(self) -> None:
        self._order: OrderedDict[int, None] = OrderedDict()

    def hit(self, script: int, now: float) -> None:
        self._order.move_to_end(script)

    def add(self, script: int, now: float) -> None:
        self._order[script] = None

    def victim(self, now: float) -> int:
        return self._order.popitem(last=False)[0]


class Keyed:
    """Lowest key goes; keys only grow by `hit`: a heap with lazy deletion."""

    def __init__(self) -> None:
        self._keys: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []

    def put(self, script: int, key: float) -> None:
        self._keys[script] = key
        heapq.heappush(self._heap, (key, script))
        if len(self._heap) > 8 * len(self._keys) + 1000:
            self._heap = [(k, s) for s, k in self._keys.items()]
            heapq.heapify(self._heap)

    def pop(self) -> tuple[float, int]:
        while True:
            key, script = heapq.heappop(self._heap)
            if self._keys.get(script) == key:
                del self._keys[script]
                return key, script


class Lfu:
    """Least frequently used; all counts are halved every minute."""

    _HALVED_S: Final = 60.0

    def __init__(self) -> None:
        self._counts: dict[int, float] = {}
        self._queue = Keyed()
        self._resident: dict[int, None] = {}
        self._halved_at = 0.0

    def _count(self, script: int, now: float) -> None:
        if now - self._halved_at >= self._HALVED_S:
            self._halved_at = now
            self._counts = {s: c / 2 for s, c in self._counts.items() if c > 0.25}
            self._queue = Keyed()
            for resident in self._resident:
                self._queue.put(resident, self._counts.get(resident, 0.0))
        self._counts[script] = self._counts.get(script, 0.0) + 1.0
        self._queue.put(script, self._counts[script])

    def hit(self, script: int, now: float) -> None:
        self._count(script, now)

    def add(self, script: int, now: float) -> None:
        self._resident[script] = None
        self._count(script, now)

    def victim(self, now: float) -> int:
        script = self._queue.pop()[1]
        del self._resident[script]
        return script


class Gdsf:
    """GreedyDual-Size-Frequency with size 1: frequency x cost, plus the clock."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._uses: dict[int, int] = {}
        self._queue = Keyed()
        self._clock = 0.0

    def hit(self, script: int, now: float) -> None:
        self._uses[script] = self._uses.get(script, 0) + 1
        worth = self._uses[script] * self._trace.load_s[script]
        self._queue.put(script, self._clock + worth)

    def add(self, script: int, now: float) -> None:
        self._uses[script] = 0
        self.hit(script, now)

    def victim(self, now: float) -> int:
        self._clock, script = self._queue.pop()
        return script


class Sieve:
    """SIEVE (Zhang et al., NSDI 2024): a hand that spares what was visited, once."""

    def __init__(self) -> None:
        self._visited: dict[int, bool] = {}
        self._queue: deque[int] = deque()  # old to new; the hand is its left end

    def hit(self, script: int, now: float) -> None:
        self._visited[script] = True

    def add(self, script: int, now: float) -> None:
        self._visited[script] = False
        self._queue.append(script)

    def victim(self, now: float) -> int:
        queue = self._queue
        while self._visited[queue[0]]:
            self._visited[queue[0]] = False
            queue.rotate(-1)
        script = queue.popleft()
        del self._visited[script]
        return script


class S3Fifo:
    """S3-FIFO (Yang et al., SOSP 2023): a small queue on trial, a main one, ghosts."""

    def __init__(self, room: int) -> None:
        self._small_room = max(1, room // 10)
        self._small: deque[int] = deque()
        self._main: deque[int] = deque()
        self._ghosts: OrderedDict[int, None] = OrderedDict()
        self._room = room
        self._uses: dict[int, int] = {}

    def hit(self, script: int, now: float) -> None:
        self._uses[script] = min(self._uses[script] + 1, 3)

    def add(self, script: int, now: float) -> None:
        self._uses[script] = 0
        if self._ghosts.pop(script, 0) is None:
            self._main.append(script)
        else:
            self._small.append(script)

    def victim(self, now: float) -> int:
        while True:
            if len(self._small) > self._small_room or not self._main:
                script = self._small.popleft()
                if self._uses[script] > 1:
                    self._main.append(script)
                    continue
                self._ghosts[script] = None
                if len(self._ghosts) > self._room:
                    self._ghosts.popitem(last=False)
                del self._uses[script]
                return script
            script = self._main.popleft()
            if self._uses[script] > 0:
                self._uses[script] -= 1
                self._main.append(script)
                continue
            del self._uses[script]
            return script


class WTinyLfu:
    """W-TinyLFU (Einziger et al., 2017): a window, and admission by past frequency.

    Window 1 %, segmented main region, exact counts that are halved (a sketch would only
    approximate them).
    """

    def __init__(self, room: int) -> None:
        self._window_room = max(1, room // 100)
        self._protected_room = (room - self._window_room) * 4 // 5
        self._sample = 10 * room
        self._seen = 0
        self._counts: dict[int, int] = {}
        self._window: OrderedDict[int, None] = OrderedDict()
        self._trial: OrderedDict[int, None] = OrderedDict()
        self._protected: OrderedDict[int, None] = OrderedDict()

    def _count(self, script: int) -> None:
        self._counts[script] = min(self._counts.get(script, 0) + 1, 15)
        self._seen += 1
        if self._seen >= self._sample:
            self._seen //= 2
            self._counts = {s: c // 2 for s, c in self._counts.items() if c > 1}

    def hit(self, script: int, now: float) -> None:
        self._count(script)
        if script in self._window:
            self._window.move_to_end(script)
        elif script in self._protected:
            self._protected.move_to_end(script)
        else:
            del self._trial[script]
            self._protected[script] = None
            if len(self._protected) > self._protected_room:
                self._trial[self._protected.popitem(last=False)[0]] = None

    def add(self, script: int, now: float) -> None:
        self._count(script)
        self._window[script] = None
        if len(self._window) > self._window_room:
            self._trial[self._window.popitem(last=False)[0]] = None

    def victim(self, now: float) -> int:
        if len(self._window) < self._window_room:
            region = self._trial or self._protected or self._window
            return region.popitem(last=False)[0]
        candidate = self._window.popitem(last=False)[0]
        if not self._trial:
            return candidate
        resident = next(iter(self._trial))
        if self._counts.get(candidate, 0) > self._counts.get(resident, 0):
            del self._trial[resident]
            self._trial[candidate] = None
            return resident
        return candidate


class RateOracle:
    """Knows the rate of every script: the lowest rate x cost of loading goes."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._rates: dict[int, float] = {}
        self._resident: dict[int, None] = {}
        self._heap: list[tuple[float, int]] = []

    def hit(self, script: int, now: float) -> None:
        pass

    def add(self, script: int, now: float) -> None:
        self._resident[script] = None
        heapq.heappush(self._heap, (self._worth(script), script))

    def _worth(self, script: int) -> float:
        return self._rates.get(script, 0.0) * self._trace.load_s[script]

    def victim(self, now: float) -> int:
        rates = self._trace.rates(now)
        if rates is not self._rates:
            self._rates = rates
            self._heap = [(self._worth(s), s) for s in self._resident]
            heapq.heapify(self._heap)
        _, script = heapq.heappop(self._heap)
        del self._resident[script]
        return script


class Belady:
    """Clairvoyant: the farthest next use goes; the bound of cold starts."""

    def __init__(self, trace: Trace) -> None:
        upcoming: dict[int, deque[float]] = {}
        for at, script in trace.requests:
            upcoming.setdefault(script, deque()).append(at)
        self._upcoming = upcoming
        self._queue = Keyed()

    def hit(self, script: int, now: float) -> None:
        uses = self._upcoming[script]
        while uses and uses[0] <= now:
            uses.popleft()
        self._queue.put(script, -(uses[0] if uses else float("inf")))

    def add(self, script: int, now: float) -> None:
        self.hit(script, now)

    def victim(self, now: float) -> int:
        return self._queue.pop()[1]

"""Cores that the kernel shares evenly between the VM hosts that are busy."""

import heapq


class Cores:
    """Processor sharing: k busy hosts on c cores get min(1, c / k) of a core each.

    Virtual time advances at that rate, so a job that needs `work` seconds ends when
    virtual time has advanced by as much, whatever comes and goes meanwhile.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._virtual = 0.0
        self._at = 0.0
        self._jobs: list[tuple[float, int]] = []  # (virtual end, host)

    def _rate(self) -> float:
        return min(1.0, self._number / len(self._jobs))

    def start(self, now: float, host: int, work: float) -> None:
        """Let a host that is not busy begin to work."""
        self._advance(now)
        heapq.heappush(self._jobs, (self._virtual + work, host))

    def next_end(self) -> float:
        """Return when the next job ends if nothing else begins; inf without jobs."""
        if not self._jobs:
            return float("inf")
        return self._at + (self._jobs[0][0] - self._virtual) / self._rate()

    def end(self, now: float) -> int:
        """Take the job that ends now; return its host."""
        self._advance(now)
        return heapq.heappop(self._jobs)[1]

    def _advance(self, now: float) -> None:
        if self._jobs:
            self._virtual += (now - self._at) * self._rate()
        self._at = now

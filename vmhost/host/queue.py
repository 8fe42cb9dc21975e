"""What waits in a VM host, first in, first out: runs, loads and closings."""

# Compiled.

from collections import deque
from typing import Final

from luafarm.wire.messages import Drop, Load, RunRow
from vmhost.host.held import Held
from vmhost.host.peers import Peer
from vmhost.host.work import Close

MAX_QUEUE: Final = 4096  # runs that wait; honest fronts stay far below


class Dropping:
    """An order to close states, which are out of service already."""

    def __init__(self, order: Drop, out: list[Held]) -> None:
        self.order: Final = order
        self.out: Final = out


Queued = tuple[Peer, RunRow] | Load | Dropping | Close
"""A run, or what is to be done to a state."""


class Queue:
    """The queue of one VM host."""

    def __init__(self) -> None:
        self._waiting: deque[Queued] = deque()

    def add_runs(self, peer: Peer, rows: tuple[RunRow, ...]) -> bool:
        """Take the runs of a front; False: they are too many."""
        waiting = self._waiting
        if len(waiting) + len(rows) > MAX_QUEUE:
            return False
        for row in rows:
            waiting.append((peer, row))
        return True

    def add(self, work: Load | Dropping | Close) -> None:
        """Take something that is no run."""
        self._waiting.append(work)

    def put_back(self, load: Load) -> None:
        """Take a load that was next, and is so again."""
        self._waiting.appendleft(load)

    def next(self) -> Queued | None:
        """Return what is next; None: nothing waits."""
        return self._waiting.popleft() if self._waiting else None

    def cancel(self, peer: Peer, request: int) -> bool:
        """Take a run out; False: it does not wait here."""
        for work in self._waiting:
            if isinstance(work, tuple) and work[0] == peer and work[1][0] == request:
                self._waiting.remove(work)
                return True
        return False

    def requests(self, peer: Peer) -> list[int]:
        """Return the runs of a front that wait, in their order."""
        waiting = self._waiting
        return [w[1][0] for w in waiting if isinstance(w, tuple) and w[0] == peer]

    def move(self, before: Peer, peer: Peer) -> None:
        """Take note that a front has another connection."""
        waiting = deque[Queued]()
        for work in self._waiting:
            if isinstance(work, tuple) and work[0] == before:
                waiting.append((peer, work[1]))
            else:
                waiting.append(work)
        self._waiting = waiting

    def forget(self, peer: Peer) -> None:
        """Take out all runs of a front that is gone."""
        left = [w for w in self._waiting if not isinstance(w, tuple) or w[0] != peer]
        self._waiting = deque(left)

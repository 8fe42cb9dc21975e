"""Which children have been silent for too long: a machine; the loop kills them.

A child that starts has START_S until its first beat. From then on one must come every
`limit_s`. A child that has been asked to end is watched no more: how long that may take
is decided by whoever asked it (`roles`).

Who looks may have stood still itself, with everything that it watches (a machine that
was suspended, a container that was frozen) or alone. Then silence proves nothing: after
a look that comes GAP_S late or more everybody gets a fresh limit. The beats that have
arrived are to be taken note of before each look.
"""

from typing import Final

from luafarm.gaps import GAP_S

START_S: Final = 30.0
"""Until its first beat a process imports its modules and prepares sockets and files, on
a machine that may be busy with starting all the others."""

LOOK_S: Final = 0.5


class Watchdog:
    """Knows of each child until when it must beat. Times are monotonic seconds."""

    def __init__(self, limit_s: float) -> None:
        """limit_s: how long a child may be silent; 0: for ever."""
        self._limit_s = limit_s
        #: by child: all and only those that are watched
        self._dues: dict[int, float] = {}
        self._looked_at = 0.0

    def starts(self, child: int, now: float) -> None:
        """Take note of a child that was started."""
        if not self._dues:
            self._looked_at = now  # until now there was nothing to look at
        if self._limit_s:
            self._dues[child] = now + max(START_S, self._limit_s)

    def adopt(self, child: int, by: float, now: float) -> None:
        """Take note of a child that runs already; by: what `beats_by` was."""
        self.starts(child, now)
        if child in self._dues and by:
            self._dues[child] = by

    def beats_by(self, child: int) -> float:
        """Return until when a child must beat; 0: it is not watched."""
        return self._dues.get(child, 0.0)

    def beats(self, child: int, now: float) -> None:
        """Take note of a sign of life."""
        if child in self._dues:
            self._dues[child] = now + self._limit_s

    def leaves(self, child: int) -> None:
        """Watch a child no more: it has been asked to end, or has ended."""
        self._dues.pop(child, None)

    def gap_s(self, now: float) -> float:
        """Return how long whoever looks did not run before this look; mostly 0."""
        since_s = now - self._looked_at
        return since_s if since_s >= LOOK_S + GAP_S else 0.0

    def look(self, now: float) -> list[int]:
        """Return the children that are silent for too long, each once."""
        if self.gap_s(now):
            for child, due in self._dues.items():
                self._dues[child] = max(due, now + self._limit_s)
        self._looked_at = now
        silent = [child for child, due in self._dues.items() if now >= due]
        for child in silent:
            del self._dues[child]
        return silent

    def next_look(self) -> float | None:
        """Return when `look` must be called at the latest; None: nobody is watched."""
        if not self._dues:
            return None
        return min(self._looked_at + LOOK_S, *self._dues.values())

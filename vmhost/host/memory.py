"""The memory that the states of a VM host use, and what is done when it is full.

Then garbage is collected, that of the largest state first, and if that is not enough
states are closed, the largest first. For a state that is to be loaded none is closed:
then it cannot be loaded here.
"""

# Compiled.

from typing import Final

from luafarm.ends import Closing
from vmhost.host.held import Held
from vmhost.host.work import Close, Collect

FULL: Final = 0.9  # of the host's memory: nothing more is loaded


def _size(held: Held) -> int:
    return held.memory_bytes


class Memory:
    """What each state uses as of its last run, against what all of them may."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes: Final = max_bytes
        self.used_bytes = 0  # of all that have a state
        self.is_short = False  # `next_to_free` may have something to do
        self._full_bytes = int(max_bytes * FULL)  # above it no further state is loaded
        self._held: dict[Held, None] = {}  # all and only those that have a state
        self._to_collect: list[Held] = []  # the largest at the end
        self._may_close = False  # if collecting is not enough

    @property
    def is_full(self) -> bool:
        """Whether no further state may be loaded."""
        return self.used_bytes > self._full_bytes

    @property
    def states(self) -> int:
        """How many states there are."""
        return len(self._held)

    def keep(self, held: Held, memory_bytes: int) -> None:
        """Take note of what a state uses."""
        if held.has_state:
            self.used_bytes += memory_bytes - held.memory_bytes
        else:
            held.has_state = True
            self._held[held] = None
            self.used_bytes += memory_bytes
        held.memory_bytes = memory_bytes

    def release(self, held: Held) -> None:
        """Take note that a state is to be no more."""
        if held.has_state:
            held.has_state = False
            del self._held[held]
            self.used_bytes -= held.memory_bytes

    def check(self) -> None:
        """Want memory freed if more is used than may be: after each run."""
        if self.used_bytes > self.max_bytes:
            self.want_freed(may_close=True)

    def want_freed(self, *, may_close: bool) -> None:
        """Have `next_to_free` collect, and close if it may, while memory is full."""
        self.is_short = True
        self._to_collect = sorted(self._held, key=_size)
        self._may_close = may_close

    def next_to_free(self) -> Collect | Close | None:
        """Return what frees memory next; None: there is enough, or nothing to free."""
        while self._to_collect and self.is_full:
            held = self._to_collect.pop()
            if held.has_state:
                return Collect(held)
        self._to_collect = []
        if self._may_close and self.is_full:
            return Close(max(self._held, key=_size), Closing.MEMORY)
        self.is_short = False
        return None

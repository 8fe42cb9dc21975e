"""The wall-clock budget of Lua code that only computes: who tells it that time is up.

Lua knows CPU time and whole seconds, no clock that could end a request in time on a
busy machine. But the main thread of a VM host has nothing to do: it sleeps until the
running task's time is over and then calls the task's ticket (`vmhost.lua.crier`) where
the hook of every state hears it. A task that ended meanwhile does not care: each has a
ticket of its own.

The kernel's timer (`vmhost.host.timer`) comes later and is for what has no hook.
"""

# Compiled.

from collections.abc import Callable
from typing import Final

TICKETS: Final = 99_999_999  # then they begin again: only equality counts
_LONGEST_NS: Final = 1_000_000_000  # between two looks of the main thread
_SHORTEST_NS: Final = 20_000_000


class Curfew:
    """Which task must end when. `begin` is the Lua thread's, `look` the main thread's.

    The main thread is not told of tasks: none is shorter than the pause between two of
    its looks. It is woken when one with a shorter budget comes for the first time.
    """

    def __init__(self, call: Callable[[int], None], wake: Callable[[], None]) -> None:
        self._call = call
        self._wake = wake
        self._pause_ns = _LONGEST_NS
        self._task = (0, 0)  # ticket and end, one value: two threads use it
        self._called = 0

    def begin(self, until_ns: int, budget_ns: int) -> int:
        """Return the ticket of a task that starts now and has time until then."""
        ticket = self._task[0] % TICKETS + 1
        self._task = (ticket, until_ns)
        if budget_ns < self._pause_ns > _SHORTEST_NS:
            self._pause_ns = max(budget_ns, _SHORTEST_NS)
            self._wake()
        return ticket

    def look(self, now_ns: int) -> float:
        """Call the task whose time is over; return the seconds until the next look."""
        ticket, until_ns = self._task
        pause_ns = self._pause_ns
        if ticket != self._called:
            if now_ns < until_ns:
                pause_ns = min(until_ns - now_ns, pause_ns)
            else:
                self._called = ticket
                self._call(ticket)
        return pause_ns / 1e9

"""The alarm: how Lua code that only computes hears that its wall-clock time is up.

Lua knows CPU time and whole seconds, no clock that could end a request in time on a
busy machine. But the main thread of a VM host has nothing to do: it sleeps until the
running task's time is over and then says the number of the task's alarm
(`vmhost.lua.alarmword`) where the hook of every state reads it. A task that ended
meanwhile does not care: the alarm of each has a number of its own.

The kernel's timer (`vmhost.host.timer`) comes later and is for what has no hook.
"""

# Compiled.

from collections.abc import Callable
from typing import Final

NUMBERS: Final = 99_999_999  # then they begin again: only equality counts
_LONGEST_NS: Final = 1_000_000_000  # between two looks of the main thread
_SHORTEST_NS: Final = 20_000_000


class Alarm:
    """Which task must end when. `set` is the Lua thread's, `look` the main thread's.

    The main thread is not told of tasks: none is shorter than the pause between two of
    its looks. It is woken when one with a shorter budget comes for the first time.
    """

    def __init__(self, say: Callable[[int], None], wake: Callable[[], None]) -> None:
        self._say = say
        self._wake = wake
        self._pause_ns = _LONGEST_NS
        self._task = (0, 0)  # number and end, one value: two threads use it
        self._said = 0

    def set(self, until_ns: int, budget_ns: int) -> int:
        """Return the number of the alarm of a task that has time until then.

        budget_ns: how long it is until then, in all.
        """
        number = self._task[0] % NUMBERS + 1
        self._task = (number, until_ns)
        if budget_ns < self._pause_ns > _SHORTEST_NS:
            self._pause_ns = max(budget_ns, _SHORTEST_NS)
            self._wake()
        return number

    def look(self, now_ns: int) -> float:
        """Say whose time is over; return the seconds until the next look."""
        number, until_ns = self._task
        pause_ns = self._pause_ns
        if number != self._said:
            if now_ns < until_ns:
                pause_ns = min(until_ns - now_ns, pause_ns)
            else:
                self._said = number
                self._say(number)
        return pause_ns / 1e9

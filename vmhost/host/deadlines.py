"""The deadlines of the task in progress: for Lua itself, the kernel and the supervisor.

Lua's hook hears the alarm when the wall-clock time is up, the kernel's timer kills this
process a little later, and the supervisor, which reads the deadline on the scoreboard,
does so after that.
"""

# Impure, compiled.

from typing import Final

from vmhost.host.alarm import Alarm
from vmhost.host.timer import Budget, KernelTimer
from vmhost.scoreboard import HostSlot

_BEAT_NS: Final = 500_000_000  # the supervisor wants a beat each second


class Deadlines:
    """What every task begins and ends with; nobody else touches slot, timer, alarm."""

    def __init__(self, slot: HostSlot, timer: KernelTimer, alarm: Alarm) -> None:
        self._slot = slot
        self._timer = timer
        self._alarm = alarm
        self._beat_ns = 0  # when the next one is due

    @property
    def is_armed(self) -> bool:
        """Whether `rest` must come soon."""
        return self._timer.is_armed

    def begin(
        self, request: int, script: bytes, budget: Budget, now_ns: int, until_ns: int
    ) -> int:
        """Begin a task, which has time until then; return the number of its alarm.

        request 0: it is no run. `end` must follow.
        """
        self._slot.begin(request, script, now_ns, until_ns)
        self._timer.arm(budget, now_ns)
        return self._alarm.set(until_ns, until_ns - now_ns)

    def allow(self, budget: Budget, now_ns: int, until_ns: int) -> int:
        """Give what comes next in a task a budget and an alarm of its own."""
        self._timer.arm(budget, now_ns)
        return self._alarm.set(until_ns, until_ns - now_ns)

    def end(self) -> None:
        """End the task, once its reply has been handed to the socket."""
        self._slot.end()

    def beat(self, now_ns: int) -> None:
        """Say that this process is alive, while a script waits."""
        self._slot.beat(now_ns)

    def rest(self, now_ns: int) -> None:
        """Say now and then that nothing runs; relax the timer."""
        self._timer.relax(now_ns)
        if now_ns >= self._beat_ns:
            self._beat_ns = now_ns + _BEAT_NS
            self._slot.beat(now_ns)

    def disarm(self) -> None:
        """Let the process live: it ends by itself."""
        self._timer.disarm()

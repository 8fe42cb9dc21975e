"""The kernel's own end of a budget: timers whose signals kill this process.

Nothing in the process can hold them up, not even a C loop that holds the interpreter's
lock. They are the second stage: Lua's hook comes before, the supervisor after.

Setting a timer costs about a microsecond, so it is not set anew for each run: one that
was set at most SLACK ago serves the next run of the same budget as well. For the same
reason an idle host takes it down only after a while, unless it might fire before: the
host may have to wait for a processor.
"""

# Compiled.

import signal
from typing import Final

_SHARE: Final = 0.8  # of the supervisor's grace: the soft stop comes before, it after
SLACK_NS: Final = 50_000_000
SAFE_NS: Final = 2_000_000_000  # to the end of a timer that an idle host leaves alone

Budget = tuple[float, float]
"""(wall-clock seconds, CPU seconds)."""


class KernelTimer:
    """Kills the process (SIGALRM, SIGPROF) that overruns a budget."""

    def __init__(self, grace_s: float) -> None:
        self._margin_s = grace_s * _SHARE
        self.is_armed = False
        self._armed_ns = 0
        self._safe_until_ns = 0
        self._budget: Budget = (0.0, 0.0)

    def arm(self, budget: Budget, now_ns: int) -> None:
        """Have the process killed once it is clearly over this budget, from now."""
        if (
            self.is_armed
            and now_ns - self._armed_ns < SLACK_NS
            and budget == self._budget
        ):
            return
        wall_s, cpu_s = budget
        signal.setitimer(signal.ITIMER_REAL, wall_s + self._margin_s)
        signal.setitimer(signal.ITIMER_PROF, cpu_s + self._margin_s)
        self.is_armed = True
        self._armed_ns = now_ns
        self._safe_until_ns = now_ns + int(wall_s * 1e9) - SAFE_NS
        self._budget = budget

    def relax(self, now_ns: int) -> None:
        """Disarm what was armed a while ago or ends soon; nothing runs now."""
        if self.is_armed and (
            now_ns - self._armed_ns >= SLACK_NS or now_ns > self._safe_until_ns
        ):
            self.disarm()

    def disarm(self) -> None:
        """Let the process live."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        self.is_armed = False

"""A seat: the place of one VM host of a pool, filled again whenever its host ends."""

from collections import deque
from enum import Enum
from typing import Final

from luafarm.ends import Death
from luafarm.gaps import GAP_S
from luafarm.names import HostId
from vmhost.deaths import EXIT_UNOPENED, Cause
from vmhost.reading import Reading, Running
from vmhost.sandbox.layers import Layer
from vmhost.supervisor.plan import LONGEST_S, PoolPlan

FIRST_PAUSE_S: Final = 0.1
STEADY_S: Final = 10.0
"""A host that lived this long was healthy: its seat is filled again at once."""

FLAP_DEATHS: Final = 20
FLAP_WINDOW_S: Final = 10.0
FLAP_PAUSE_S: Final = 0.5
"""A pool that has had FLAP_DEATHS within FLAP_WINDOW fills its seats no faster. Scripts
that kill hosts are the broker's to quarantine; this holds until it has."""

AHEAD_S: Final = 1.0
"""A host writes the time, of the same clock, before it is read here: more is a lie,
which would hide that its loop stands still."""

SILENT_S: Final = 5.0  # an idle host says twice a second that its loop is alive
_MOST_DOUBLINGS: Final = 10


class Phase(Enum):
    """Where a seat's host is in its life."""

    EMPTY = "empty"  # none; one is ordered at `due`
    ORDERED = "ordered"  # of the zygote, which must answer by `due`
    STARTING = "starting"  # must be ready by `due`
    SERVING = "serving"
    LEAVING = "leaving"  # asked to end, must have ended by `due`
    DYING = "dying"  # killed


class PoolLife:
    """What the seats of one pool have in common."""

    def __init__(self, plan: PoolPlan) -> None:
        self.plan = plan
        self.is_refused = False  # required layers do not hold: no host is started
        self.is_flapping = False
        self.missing: list[str] = []  # layers, as last said in the log
        self._unopened = ""  # why C modules were not opened, since hosts end by that
        self._deaths: deque[float] = deque(maxlen=FLAP_DEATHS)

    def count_death(self, now: float) -> bool:
        """Take note of a death; return whether flapping begins with it."""
        self._deaths.append(now)
        was_flapping = self.is_flapping
        self.is_flapping = self._died_often(now)
        return self.is_flapping and not was_flapping

    def calm(self, now: float) -> None:
        """Forget deaths that are long past."""
        self.is_flapping = self.is_flapping and self._died_often(now)

    def _died_often(self, now: float) -> bool:
        full = len(self._deaths) == FLAP_DEATHS
        return full and now - self._deaths[0] < FLAP_WINDOW_S

    def newly_missing(self, layers: tuple[Layer, ...]) -> list[str]:
        """Return the layers that do not hold, "name: why", unless said before."""
        missing = [layer.sentence for layer in layers if not layer.holds]
        if missing == self.missing:
            return []
        self.missing = missing
        return missing

    def is_told(self, code: int, errors: str) -> bool:
        """Return whether the last host ended for the same C module and said so."""
        unopened = errors if code == EXIT_UNOPENED else ""
        was_told = unopened != "" and unopened == self._unopened
        self._unopened = unopened
        return was_told


class Seat:
    """One seat. Its host has an id in every phase but EMPTY."""

    def __init__(self, pool: PoolLife, number: int, index: int) -> None:
        self.pool = pool
        self.number = number  # within its pool, from 1
        self.index = index  # within the machine, from 0
        self.phase = Phase.EMPTY
        self.host = HostId("")
        self.due = 0.0  # when the phase must end; see Phase
        self.ready_at: float | None = None  # announced since; None: never was
        self.killed_for: Cause | None = None
        self.failures = 0  # in a row, none of them a script's
        self.overdue_at: float | None = None  # end of the running task's patience
        self._watched: tuple[int, int] | None = None
        self._watched_since = 0.0
        self._renewed_at = 0.0  # the supervisor went on then, after it was stopped
        self._signs: tuple[int, int] | None = None  # of life, as last seen
        self._silent_s = 0.0
        self._looked_at = 0.0

    @property
    def is_announced(self) -> bool:
        """Whether others know the host, so that its end must be announced too."""
        return self.ready_at is not None

    def order(self, host: HostId, now: float, patience_s: float) -> None:
        """Take note that a host is ordered for this seat."""
        self.phase = Phase.ORDERED
        self.host = host
        self.due = now + patience_s
        self.ready_at = None
        self.killed_for = None
        self.overdue_at = None
        self._renewed_at = 0.0
        self._watched = None
        self._signs = None

    def vacate(self, now: float, pause_s: float) -> None:
        """Take note that the host is no more; another may come after a pause."""
        self.phase = Phase.EMPTY
        self.host = HostId("")
        self.ready_at = None
        self.due = now + pause_s

    def pause_s(self, now: float, *, blameless: bool, longest_s: float) -> float:
        """Return how long the seat stays empty after a death now.

        blameless: the host was asked to end, or a script or somebody else ended it.
        """
        lived = self.ready_at is not None and now - self.ready_at >= STEADY_S
        if lived:
            self.failures = 0
        elif not blameless:
            self.failures += 1
        pause = FLAP_PAUSE_S if self.pool.is_flapping else 0.0
        if self.failures and not blameless:
            doublings = min(self.failures - 1, _MOST_DOUBLINGS)
            pause = max(pause, FIRST_PAUSE_S * 2.0**doublings)
        return min(pause, longest_s)

    def fault(self, reading: Reading, now: float, grace_s: float) -> Cause | None:
        """Return for what the host must be killed; None: what it says is in order."""
        if self.is_overdue(reading.task, now, grace_s):
            if reading.is_stopped:
                # no script can stop its process: it is not to be blamed for the time
                text = "stopped by a signal, and over its wall-clock budget"
                return Cause(Death.KILLED, text)
            text = "over its wall-clock budget and not to be stopped otherwise"
            return Cause(Death.WALL, text)
        if reading.task is not None and _ahead_s(reading.task.deadline_ns, now) > (
            LONGEST_S + AHEAD_S
        ):
            text = f"a deadline later than any budget, which is {LONGEST_S:g} s at most"
            return Cause(Death.PROTOCOL, text)
        ahead_s = _ahead_s(reading.beat_ns, now)
        if ahead_s > AHEAD_S:
            text = (
                f"a sign of life from {ahead_s:.0f} s ahead of the clock that it "
                f"shares; the limit is {AHEAD_S:g} s"
            )
            return Cause(Death.PROTOCOL, text)
        if self.silence_s(reading, now) > SILENT_S:
            text = f"idle, and its loop has stood still for {SILENT_S:g} s"
            return Cause(Death.SILENT, text)
        return None

    def renew(self, gap_s: float, now: float) -> None:
        """Give the host as much time again: the supervisor was stopped meanwhile."""
        if self.phase in {Phase.ORDERED, Phase.STARTING, Phase.LEAVING}:
            self.due += gap_s
        self._renewed_at = now

    def is_overdue(self, task: Running | None, now: float, grace_s: float) -> bool:
        """Return whether what the host runs should have ended by now.

        The host itself writes the deadline; no task is left longer than the pool's
        longest budget since it was first seen here, whatever the host says.
        """
        if task is None:
            self._watched = None
            self.overdue_at = None
            return False
        key = (task.request, task.started_ns)
        if key != self._watched:
            self._watched = key
            self._watched_since = now
        longest = self._watched_since + self.pool.plan.longest_s
        due = max(min(task.deadline_ns / 1e9, longest), self._renewed_at)
        self.overdue_at = due + grace_s
        return now >= self.overdue_at

    def silence_s(self, reading: Reading, now: float) -> float:
        """Return for how long the host has shown no sign of life, as seen from here."""
        signs = (reading.requests, reading.beat_ns)
        if reading.task is not None or signs != self._signs:
            self._silent_s = 0.0
        else:
            self._silent_s += min(now - self._looked_at, GAP_S)
        self._signs = signs
        self._looked_at = now
        return self._silent_s


def _ahead_s(time_ns: int, now: float) -> float:
    return time_ns / 1e9 - now

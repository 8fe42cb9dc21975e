"""What a supervisor decides: which hosts live, which die, and what others are told.

Every pool has a fixed number of seats (`vmhost.supervisor.seat`); an empty one is
filled by having the zygote fork a host. A host that is late, silent or accused is
killed, one that is to be replaced is drained; whatever ended, its seat is filled again,
at once when a script, an order or somebody else ended it, and after pauses that double
when it failed by itself. A pool whose hosts keep dying is slowed, whoever ends them.

Nothing here reads a clock, a socket or a scoreboard: `now` (monotonic seconds) comes in
with each event, readings with `Looked`, which the loop sends by `next_due`.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, assert_never

from luafarm.ends import OUTSIDE, Death
from luafarm.gaps import Gaps
from luafarm.names import HostId, Pool
from vmhost import deaths
from vmhost.deaths import Cause
from vmhost.reading import Reading
from vmhost.supervisor import events, invariants, obituary
from vmhost.supervisor.actions import (
    Action,
    Announce,
    Drain,
    End,
    Fork,
    KillHost,
    KillZygote,
    Level,
    Say,
    StartZygote,
    TellLost,
)
from vmhost.supervisor.departure import Departure
from vmhost.supervisor.events import Event
from vmhost.supervisor.plan import Patience, PoolPlan
from vmhost.supervisor.seat import FIRST_PAUSE_S, STEADY_S, Phase, PoolLife, Seat

TICK_S: Final = 0.25  # deadlines are the kernel timers' first; this is what is behind
ZYGOTE_S: Final = 30.0  # for a zygote to import everything, on a busy machine
GIVE_UP: Final = 3  # zygotes that never became warm: it will not get better
RECYCLED: Final = 2  # times the limits of a host's requests and age, by which the
# supervisor replaces it; at the limits the broker does, which saves its states first
_STORY: Final = 200  # events that the machine remembers


class _Zygote:
    """The zygote: absent until `due`, or starting until `due`, or warm."""

    def __init__(self) -> None:
        self.is_there = False
        self.is_warm = False
        self.was_ever_warm = False
        self.warm_at = 0.0
        self.due = 0.0
        self.failures = 0


class Supervisor:
    """Owns the seats. Change them only through `handle`."""

    def __init__(
        self,
        plans: tuple[PoolPlan, ...],
        patience: Patience,
        name: Callable[[Pool, int], HostId],
        *,
        is_beside: bool = False,
    ) -> None:
        """name: gives every host an id that was never used.

        is_beside: another supervisor serves, and leaves when this one does.
        """
        self.story: deque[tuple[float, Event, list[Action]]] = deque(maxlen=_STORY)
        self._patience = patience
        self._name = name
        self._must_be_whole = is_beside  # a pool that is refused ends it
        self._seats: list[Seat] = []
        self._pools = [PoolLife(plan) for plan in plans]
        for pool in self._pools:
            for number in range(1, pool.plan.hosts + 1):
                self._seats.append(Seat(pool, number, len(self._seats)))
        self._zygote = _Zygote()
        self._gaps = Gaps(TICK_S)
        self._departure = Departure()

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take one event; return what must be done, in order."""
        actions = self._react(event, now) + self._go_on(now)
        if actions:
            self.story.append((now, event, actions))
        return actions

    def serving(self) -> list[HostId]:
        """Return the hosts that are announced and not lost."""
        return [seat.host for seat in self._seats if seat.is_announced]

    def seats(self) -> int:
        """Return how many hosts there are to be: none of pools that are refused."""
        return sum(not seat.pool.is_refused for seat in self._seats)

    def serves_all(self) -> bool:
        """Return whether all hosts that there are to be serve."""
        return len(self.serving()) == self.seats()

    @property
    def is_leaving(self) -> bool:
        """Whether another supervisor takes over, and no seat is filled any more."""
        return self._departure.is_leaving

    def next_due(self, now: float) -> float:
        """Return when `Looked` must come next."""
        due = now + TICK_S
        for seat in self._seats:
            waits = seat.phase in {Phase.ORDERED, Phase.STARTING, Phase.LEAVING}
            if waits or (seat.phase is Phase.EMPTY and self._may_fill(seat)):
                due = min(due, seat.due)
            if seat.overdue_at is not None and seat.phase is not Phase.DYING:
                due = min(due, seat.overdue_at)
        if not self._zygote.is_warm and not self._departure.has_begun:
            due = min(due, self._zygote.due)
        return due

    def check(self) -> None:
        """Raise AssertionError if the tables contradict themselves."""
        invariants.check(self._seats)

    def _react(self, event: Event, now: float) -> list[Action]:
        match event:
            case events.Looked(readings):
                return self._look(readings, now)
            case events.ZygoteWarm():
                return self._zygote_warm(now)
            case events.ZygoteEnded(why):
                return self._zygote_ended(why, now)
            case events.BrokerMet():
                self._departure.met_broker(now)
                return [Announce(host) for host in self.serving()]
            case events.Served():
                self._must_be_whole = False
                return []
            case events.StopWanted():
                return self._stop(now)
            case events.LeaveWanted(has_broker):
                return self._leave(now, has_broker=has_broker)
            case _:
                seat = self._seat_of(event.host)
                return [] if seat is None else self._react_of(seat, event, now)

    def _react_of(self, seat: Seat, event: events.OfHost, now: float) -> list[Action]:
        match event:
            case events.Forked():
                return self._forked(seat, now)
            case events.ForkFailed(_, why):
                return self._fork_failed(seat, why, now)
            case events.Sealed():
                return self._sealed(seat, event)
            case events.Ready():
                return self._ready(seat, now)
            case events.Exited():
                return self._exited(seat, event, now)
            case events.RecycleWanted(_, why):
                return self._drain(seat, Cause(Death.STOPPED, f"recycled: {why}"), now)
            case events.KillWanted(_, why):
                return self._kill(seat, Cause(Death.PROTOCOL, why))
            case _:
                assert_never(event)

    def _seat_of(self, host: HostId) -> Seat | None:
        return next((seat for seat in self._seats if seat.host == host), None)

    # ---- the zygote ----------------------------------------------------------------

    def _zygote_warm(self, now: float) -> list[Action]:
        self._zygote.is_warm = self._zygote.was_ever_warm = True
        self._zygote.warm_at = now
        return []

    def _zygote_ended(self, why: str, now: float) -> list[Action]:
        zygote = self._zygote
        if zygote.is_warm and now - zygote.warm_at >= STEADY_S:
            zygote.failures = 0
        zygote.is_there = zygote.is_warm = False
        zygote.failures += 1
        zygote.due = now
        if self._departure.has_begun:
            return []
        if zygote.failures > 1:
            pause = FIRST_PAUSE_S * 2.0 ** min(zygote.failures, 10)
            zygote.due = now + min(pause, self._patience.spawn_max_s)
        said: list[Action] = [Say(Level.WARNING, f"zygote ended: {why}")]
        if zygote.failures >= GIVE_UP and not zygote.was_ever_warm:
            text = f"no VM host can be started: the zygote ended {GIVE_UP} times"
            return [*said, Say(Level.ERROR, text), *self._give_up(1, now)]
        return said

    # ---- the life of a host --------------------------------------------------------

    def _may_fill(self, seat: Seat) -> bool:
        allowed = not self._departure.has_begun and not seat.pool.is_refused
        return allowed and self._zygote.is_warm

    def _go_on(self, now: float) -> list[Action]:
        """Do what the tables call for, whatever has just happened."""
        if self._departure.has_begun:
            is_empty = all(seat.phase is Phase.EMPTY for seat in self._seats)
            has_ended = is_empty and self._departure.ends()
            return [End(self._departure.exit_code)] if has_ended else []
        zygote = self._zygote
        if not zygote.is_there and now >= zygote.due:
            zygote.is_there = True
            zygote.due = now + ZYGOTE_S
            return [StartZygote()]
        actions: list[Action] = []
        for seat in self._seats:
            empty = seat.phase is Phase.EMPTY and now >= seat.due
            if empty and self._may_fill(seat):
                plan = seat.pool.plan
                seat.order(
                    self._name(plan.pool, seat.number), now, self._patience.start_s
                )
                actions.append(Fork(seat.host, plan, seat.number, seat.index))
        return actions

    def _forked(self, seat: Seat, now: float) -> list[Action]:
        seat.phase = Phase.STARTING
        seat.due = now + self._patience.start_s
        if seat.killed_for is None:
            return []
        return self._kill(seat, seat.killed_for)  # not wanted any more

    def _fork_failed(self, seat: Seat, why: str, now: float) -> list[Action]:
        text = f"host={seat.host} not started: {why}"
        longest = self._patience.spawn_max_s
        seat.vacate(now, seat.pause_s(now, blameless=False, longest_s=longest))
        return [Say(Level.WARNING, text)]

    def _sealed(self, seat: Seat, event: events.Sealed) -> list[Action]:
        pool = seat.pool
        if event.lacking:
            if pool.is_refused:
                return []
            pool.is_refused = True
            text = (
                f"pool={pool.plan.pool} is not served: [pool.{pool.plan.pool}] "
                f"require_layers names what cannot be had here: "
                f"{'; '.join(event.lacking)}"
            )
            return [Say(Level.ERROR, text)]
        missing = pool.newly_missing(event.layers)
        if not missing:
            return []
        text = f"pool={pool.plan.pool} sandbox lacks {'; '.join(missing)}"
        return [Say(Level.WARNING, text)]

    def _ready(self, seat: Seat, now: float) -> list[Action]:
        if seat.phase is not Phase.STARTING:
            return []
        seat.phase = Phase.SERVING
        seat.ready_at = now
        return [Say(Level.DEBUG, f"host={seat.host} ready"), Announce(seat.host)]

    def _drain(self, seat: Seat, why: Cause, now: float) -> list[Action]:
        if seat.phase is not Phase.SERVING:
            return []
        seat.phase = Phase.LEAVING
        seat.killed_for = why
        longest = seat.pool.plan.longest_s + self._patience.grace_s
        seat.due = now + max(longest, self._patience.stop_s)
        return [Drain(seat.host)]

    def _kill(self, seat: Seat, why: Cause) -> list[Action]:
        if seat.phase in {Phase.EMPTY, Phase.DYING}:
            return []
        seat.killed_for = why
        if seat.phase is Phase.ORDERED:
            return []  # it has no process yet that is known: when it is forked
        seat.phase = Phase.DYING
        return [KillHost(seat.host)]

    def _exited(self, seat: Seat, event: events.Exited, now: float) -> list[Action]:
        is_running = event.task is not None
        cause = deaths.cause(
            event.code, seat.killed_for, event.errors, is_running=is_running
        )
        asked = cause.reason == Death.STOPPED and seat.killed_for is not None
        actions: list[Action] = []
        if seat.is_announced:
            actions.append(TellLost(obituary.lost(cause, event)))
        pool = seat.pool
        is_told = pool.is_told(event.code, event.errors)
        actions.append(obituary.line(cause, event, quiet=asked or is_told))
        if not asked and pool.count_death(now):
            text = f"pool={pool.plan.pool} VM hosts keep dying: restarts slowed"
            actions.append(Say(Level.WARNING, text))
        # what others ended is no sign that the next one would fail as well
        ended = seat.is_announced and cause.reason in OUTSIDE
        blameless = asked or ended or event.task is not None
        longest = self._patience.spawn_max_s
        seat.vacate(now, seat.pause_s(now, blameless=blameless, longest_s=longest))
        refused = [life.is_refused for life in self._pools]
        if all(refused) or (self._must_be_whole and any(refused)):
            actions += self._give_up(2, now)
        return actions

    # ---- time ----------------------------------------------------------------------

    def _look(
        self, readings: tuple[tuple[HostId, Reading], ...], now: float
    ) -> list[Action]:
        seen = dict(readings)
        actions: list[Action] = []
        gap_s = self._gaps.tick(now)
        if gap_s:  # who spoke meanwhile was not heard, and may have hung as well
            if self._zygote.is_there:
                self._zygote.due += gap_s
            for seat in self._seats:
                seat.renew(gap_s, now)
        for pool in self._pools:
            pool.calm(now)
        if self._departure.is_late(now):
            cause = Cause(Death.STOPPED, "the supervisor leaves")
            for seat in self._seats:
                actions += self._drain(seat, cause, now)
        for seat in self._seats:
            actions += self._look_at(seat, seen.get(seat.host), now)
        zygote = self._zygote
        stuck = zygote.is_there and not zygote.is_warm and now >= zygote.due
        late = any(s.phase is Phase.ORDERED and now >= s.due for s in self._seats)
        if stuck or late:
            zygote.due = now + ZYGOTE_S
            for seat in self._seats:
                if seat.phase is Phase.ORDERED:
                    seat.due = zygote.due
            actions.append(KillZygote(ZYGOTE_S if stuck else self._patience.start_s))
        return actions

    def _look_at(self, seat: Seat, reading: Reading | None, now: float) -> list[Action]:
        match seat.phase:
            case Phase.STARTING if now >= seat.due:
                text = f"not ready within {self._patience.start_s:g} s"
                return self._kill(seat, Cause(Death.START, text))
            case Phase.LEAVING if now >= seat.due:
                return self._kill(seat, Cause(Death.STOPPED, "did not end when asked"))
            case Phase.SERVING | Phase.LEAVING if reading is not None:
                return self._judge(seat, reading, now)
            case _:
                return []

    def _judge(self, seat: Seat, reading: Reading, now: float) -> list[Action]:
        fault = seat.fault(reading, now, self._patience.grace_s)
        if fault is not None:
            return self._kill(seat, fault)
        plan = seat.pool.plan
        assert seat.ready_at is not None
        spent = 0 < plan.host_requests * RECYCLED <= reading.requests
        old = 0 < plan.host_age_s * RECYCLED <= now - seat.ready_at
        if (spent or old) and not self._is_leaving(seat.pool):
            why = "host_requests" if spent else "host_age"
            return self._drain(seat, Cause(Death.STOPPED, f"recycled: {why}"), now)
        return []

    def _is_leaving(self, pool: PoolLife) -> bool:
        """Return whether a host of the pool is being replaced: one at a time."""
        gone = {Phase.LEAVING, Phase.ORDERED, Phase.STARTING}
        return any(seat.pool is pool and seat.phase in gone for seat in self._seats)

    # ---- the end -------------------------------------------------------------------

    def _stop(self, now: float) -> list[Action]:
        if self._departure.is_stopping:  # asked twice: at once
            cause = Cause(Death.STOPPED, "the supervisor stops at once")
            return [a for seat in self._seats for a in self._kill(seat, cause)]
        return self._give_up(0, now)

    def _leave(self, now: float, *, has_broker: bool) -> list[Action]:
        """Begin no host any more, and end when the last one has ended."""
        if not self._departure.leave(now, has_broker=has_broker):
            return []
        cause = Cause(Death.STOPPED, "the supervisor leaves")
        starting = [
            s for s in self._seats if s.phase in {Phase.ORDERED, Phase.STARTING}
        ]
        return [action for seat in starting for action in self._kill(seat, cause)]

    def _give_up(self, code: int, now: float) -> list[Action]:
        if not self._departure.stop(code):
            return []
        cause = Cause(Death.STOPPED, "the supervisor stops")
        actions: list[Action] = []
        for seat in self._seats:
            if seat.phase is Phase.SERVING:
                actions += self._drain(seat, cause, now)
            elif seat.phase is not Phase.LEAVING:
                actions += self._kill(seat, cause)
            seat.due = now + self._patience.stop_s
        return actions

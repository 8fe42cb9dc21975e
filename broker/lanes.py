"""Which lane a script belongs to, and what follows when that changes.

Slow are scripts whose requests take long on average, or one of whose requests took so
long of late that the next may never end; and those that are restrained. A script that
became slow gets a state in its new lane, and then leaves the other one. That it became
quick moves nothing, so one whose times vary around the bound does not go to and fro.
And of a script that may have one state only nothing ever moves, because it would lose
what is in it: rather is another host kept for the quick ones (`broker.roster`).
"""

# Compiled.

from collections.abc import Callable
from typing import Final

from broker.farm import Farm
from broker.tables import KEPT, LONG_S, QUICK, SLOW, Host, Record, cannot_leave

SLOW_S: Final = 0.004
"""A script whose mean service time is longer moves to the slow lane."""

QUICK_S: Final = 0.002
"""And back, when it is shorter than this: 2:1, so that none moves to and fro."""

_LONG_REPORTS: Final = 2  # at the same run as in the one before: it takes over 2 s


class Lanes:
    """Decides about lanes."""

    def __init__(
        self, farm: Farm, make_space: Callable[[Record, float | None], bool]
    ) -> None:
        self._farm = farm
        self._step = farm.step
        self._make_space = make_space

    def review(self, record: Record) -> None:
        """Move a script whose requests have become slow, or quick."""
        now = self._step.now
        if record.service_s > LONG_S:
            record.long_at = now
        is_slow = self._farm.is_restrained(record) or record.is_long(now)
        if record.lane == QUICK and (is_slow or record.service_s > SLOW_S):
            self._relane(record, SLOW)
        elif record.lane == SLOW and record.service_s < QUICK_S and not is_slow:
            self._relane(record, QUICK)

    def running(self, host: Host, record: Record | None, requests: int) -> bool:
        """Note what a host runs; return whether that takes too long to wait for.

        Called for every report of a machine. requests: that the host has begun.
        """
        script = record.script if record is not None else b""
        is_same = script == host.running and requests == host.requests
        host.running = script
        host.requests = requests
        host.held = host.held + 1 if record is not None and is_same else 0
        if record is None or host.held < _LONG_REPORTS:
            return False
        record.long_at = self._step.now
        self.review(record)
        if host.lane == KEPT:
            self._farm.roster.hand_over(host)
        return True

    def _relane(self, record: Record, lane: int) -> None:
        farm = self._farm
        self._step.count("lane_changes")
        farm.relane(record, lane)
        if lane == SLOW:
            record.is_moving = True
            for state in record.states:
                if state.host.lane == KEPT and cannot_leave(record):
                    farm.roster.hand_over(state.host)
        farm.bulletin.publish(record)
        self.move(record)

    def clear(self) -> None:
        """Have slow scripts leave the hosts that are kept from now on."""
        for host in self._farm.roster.take_cleared():
            for state in list(host.states.values()):
                if state.record.lane == SLOW:
                    state.record.is_moving = True
                    self.move(state.record)

    def move(self, record: Record) -> None:
        """Bring a slow script into its lane; then drop what is where it must not be."""
        farm = self._farm
        if not record.is_moving or record.next is not None or record.current is None:
            return
        if record.lane == QUICK or cannot_leave(record):
            record.is_moving = False
            return
        roster = farm.roster
        hosts = [state.host for state in farm.bulletin.servable(record)]
        is_there = any(roster.is_at_home(record, host) for host in hosts)
        if is_there or not record.states:
            record.is_moving = False
            for state in list(record.states):
                is_loading = record.script in state.host.loads
                if not is_loading and not roster.is_at_home(record, state.host):
                    farm.drop(state)
            farm.bulletin.publish(record)
            return
        self._bring(record)

    def _bring(self, record: Record) -> None:
        """Load a first state in the script's lane."""
        farm, roster = self._farm, self._farm.roster
        if any(roster.is_at_home(record, x.host) for x in record.loads.values()):
            return
        assert record.current is not None
        host = roster.choose(record, (), self._step.now, must_idle=False)
        if host is None or not roster.is_at_home(record, host):
            return
        if len({s.host.id for s in record.states} | set(record.loads)) >= (
            record.policy.clones
        ):
            farm.drop(record.states[-1])
            farm.bulletin.publish(record)
        if self._make_space(record, None):
            farm.begin(record, host, record.current, background=True)

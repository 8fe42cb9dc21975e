"""States and hosts are replaced when they have served long enough.

A state is renewed beside itself, one of a script at a time. A host gets nothing new
first; what is hot on it and nowhere else is loaded elsewhere; then its supervisor
replaces it. Only one host of a pool and machine at a time. But when a supervisor leaves
its place to another, all of its hosts go: those that take over are there.
"""

# Compiled.

from heapq import heappop, heappush
from typing import Final

from broker.actions import Recycle
from broker.allocation import Allocation
from broker.farm import Farm
from broker.tables import Host, Record, State
from luafarm.names import Epoch, HostId

HOT_RATE: Final = 0.1
"""Requests per second from which a script that loses its states is loaded unasked."""

_MOVING_S: Final = 5.0
"""Time for a host's states to be loaded elsewhere; then it is replaced anyway."""

_MOVING_ALL_S: Final = 30.0
"""The same, when all hosts of a machine are replaced."""

RESTART: Final = "restart"

_AGAIN_S: Final = 1.0
_SPREAD: Final = 10  # percent by which ages differ, so that a farm does not age at once

_RSS_FACTOR: Final = 0.95
"""Growth of a host's resident memory, relative to its limit, that is too much."""


_Age = tuple[float, int, Epoch, State]
"""(when, serial, epoch, state); of the state with this serial and epoch only."""


class Recycling:
    """Decides when something is old."""

    def __init__(self, farm: Farm, allocation: Allocation) -> None:
        self._farm = farm
        self._step = farm.step
        self._allocation = allocation
        #: heap of states that will be too old
        self._ages: list[_Age] = []
        self._retiring: dict[HostId, Host] = {}

    # -- states ----------------------------------------------------------------------

    def born(self, state: State) -> None:
        """Note a state's first day, if it may become too old."""
        age_s = state.record.policy.state_age_s
        if age_s > 0.0:
            due = self._step.now + age_s * (100 - state.serial % _SPREAD) / 100
            heappush(self._ages, (due, state.serial, state.epoch, state))

    def served(self, state: State) -> None:
        """Renew a state that has served often enough."""
        limit = state.record.policy.state_requests
        if limit and state.requests >= limit:
            self._renew(state)

    def _renew(self, state: State) -> bool:
        record = state.record
        if record.loads or record.next is not None or record.current is None:
            return False
        if state.generation is record.current:
            self._step.count("recycled_states")
            self._farm.begin(record, state.host, record.current, background=True)
        return True

    def _age(self) -> None:
        while self._ages and self._ages[0][0] <= self._step.now:
            _, serial, epoch, state = heappop(self._ages)
            is_alive = state.host.states.get(state.record.script) is state
            if is_alive and state.epoch == epoch and not self._renew(state):
                again = self._step.now + _AGAIN_S
                heappush(self._ages, (again, serial, epoch, state))

    # -- hosts -----------------------------------------------------------------------

    def review(self, host: Host) -> None:
        """Replace a host that is old, has served often, or has grown."""
        pool = self._farm.settings.pool[host.pool]
        age_s = self._step.now - host.joined_at
        # their ids differ in the last digits: the hosts of a pool do not age at once
        spread = 1.0 - (host.up.pid % _SPREAD) / 100
        reason = ""
        if pool.host_age > 0.0 and age_s >= pool.host_age * spread:
            reason = "age"
        elif pool.host_requests and host.requests >= pool.host_requests * spread:
            reason = "requests"
        elif self._has_grown(host, pool.host_memory):
            reason = "memory"
        if not reason or host.is_retiring or not host.is_known:
            return
        for other in self._retiring.values():
            if other.pool == host.pool and other.up.machine == host.up.machine:
                return
        self._replace([host], reason)

    def leave(self, hosts: list[Host]) -> None:
        """Replace the hosts of a supervisor that leaves, once there are others."""
        going = [
            host
            for host in hosts
            if host.is_known and not host.is_retiring and self._has_stand_in(host)
        ]
        self._replace(going, RESTART)

    def _has_stand_in(self, host: Host) -> bool:
        """Say whether another supervisor of the machine has a host for its states."""
        return any(
            other.is_known
            and not other.is_retiring
            and other.pool == host.pool
            and other.incarnation != host.incarnation
            for other in self._farm.roster.of_machine(host.up.machine)
        )

    def _replace(self, hosts: list[Host], reason: str) -> None:
        for host in hosts:  # all of them first: none is given the states of another
            self._farm.roster.retire(host, self._step.now)
            host.retiring_for = reason
            self._retiring[host.id] = host
        for host in hosts:
            for state in list(host.states.values()):
                self._save(state.record, host)

    def _has_grown(self, host: Host, limit_bytes: int) -> bool:
        """Say whether a host takes much more than when it was new."""
        if not host.first_rss_kib:
            host.first_rss_kib = host.rss_kib
        grown_kib = host.rss_kib - host.first_rss_kib
        return grown_kib * 1024 > limit_bytes * _RSS_FACTOR

    def _save(self, record: Record, host: Host) -> None:
        """Load elsewhere what is hot and only on a host that retires."""
        farm = self._farm
        farm.bulletin.publish(record)
        servable = farm.bulletin.servable(record)
        if (
            record.current is None
            or record.loads
            or servable[:1] != [host.states[record.script]]
        ):
            return
        if not self.is_hot(record):
            return
        target = farm.roster.choose(record, (), self._step.now, must_idle=False)
        if target is not None and self._allocation.make_space(record, None):
            farm.begin(record, target, record.current, background=True)

    def is_hot(self, record: Record) -> bool:
        """Say whether a script is used enough to be loaded before somebody asks."""
        farm = self._farm
        return record.heat.now(farm.lived()) / farm.fading.half_life_s > HOT_RATE

    def left(self, host: Host) -> None:
        """Forget a host that is gone."""
        self._retiring.pop(host.id, None)

    def _recycle(self, host: Host, reason: str) -> None:
        self._step.count("recycled_hosts")
        self._step.out.append(Recycle(host.up.machine, host.id, reason))

    def tick(self) -> None:
        """Renew old states; replace hosts whose states are elsewhere."""
        self._age()
        for host in list(self._retiring.values()):
            if not host.retiring_for:
                continue  # ordered; the next one waits until it has left
            limit_s = _MOVING_ALL_S if host.retiring_for == RESTART else _MOVING_S
            is_late = self._step.now - host.retiring_since > limit_s
            under_way = any(host.id not in r.loads and r.loads for r in self._of(host))
            if is_late or not under_way:
                for record in self._of(host):
                    self._farm.bulletin.publish(record)
                self._recycle(host, host.retiring_for)
                host.retiring_for = ""

    def _of(self, host: Host) -> list[Record]:
        return [state.record for state in host.states.values()]

"""The VM hosts of the farm, and which of them gets a new state.

The hosts of a pool form two lanes on each machine, so that a quick script never stands
behind a slow one: half of them are for scripts that are slow on average. While a pool
has no slow script its quick ones may spill over, after their own lane is used up. A
pool with a single host on a machine has no lanes there.

Among many hosts a few are compared, chosen by a counter that walks round: the best of
eight is as good as the best of a thousand, and costs the same whatever the farm's size.
"""

# Compiled.

from typing import Final

from broker.tables import QUICK, SLOW, Host, Record
from luafarm.names import HostId, Machine, Pool
from luafarm.wire.messages import HostUp

_COMPARED: Final = 8
_BUSY_HALF_LIFE_S: Final = 2.0

# What speaks against a host, as seconds of recent work:
_LOADING_S: Final = 0.01  # about what a load under way takes
_STATE_S: Final = 0.0001  # only evens out what is equal otherwise
_NEIGHBOUR_S: Final = 0.5  # a machine that is lost should not take all states along


class Roster:
    """Hosts by id, by machine, and by pool and lane."""

    def __init__(self) -> None:
        self.hosts: dict[HostId, Host] = {}
        #: hosts that have not told what they hold
        self.unknown = 0
        #: by machine, then all of its hosts of a pool in order of joining
        self._machines: dict[Machine, dict[Pool, dict[HostId, Host]]] = {}
        #: how many of them are in each lane
        self._lanes: dict[tuple[Machine, Pool], list[int]] = {}
        #: known hosts that may be given states, by pool and lane
        self._offered: dict[tuple[Pool, int], list[Host]] = {}
        self._slow_scripts: dict[Pool, int] = {}
        #: walks round: where the next comparison begins
        self._first = 0

    def join(self, up: HostUp, now: float) -> Host:
        """Add a host; it gets no state before `know`."""
        host = Host(up, self._lane_for(up))
        host.joined_at = now
        self.hosts[up.host] = host
        self.unknown += 1
        pools = self._machines.setdefault(up.machine, {})
        pools.setdefault(up.pool, {})[up.host] = host
        self._count(host, 1)
        return host

    def _count(self, host: Host, change: int) -> None:
        lanes = self._lanes.setdefault((host.up.machine, host.pool), [0, 0])
        lanes[host.lane] += change

    def of_machine(self, machine: Machine) -> list[Host]:
        """Return the hosts of a machine."""
        pools = self._machines.get(machine, {}).values()
        return [host for hosts in pools for host in hosts.values()]

    def know(self, host: Host) -> None:
        """Let a host be chosen that has told what it holds."""
        host.is_known = True
        self.unknown -= 1
        self._offer(host)

    def _offer(self, host: Host) -> None:
        lane = self._offered.setdefault((host.pool, host.lane), [])
        host.place = len(lane)
        lane.append(host)

    def retire(self, host: Host, now: float) -> None:
        """Choose this host no more; it is about to be replaced."""
        host.is_retiring = True
        host.retiring_since = now
        self._withdraw(host)

    def leave(self, host: Host) -> None:
        """Take the host out of all lists."""
        del self.hosts[host.id]
        if not host.is_known:
            self.unknown -= 1
        machine = host.up.machine
        pools = self._machines[machine]
        del pools[host.pool][host.id]
        self._count(host, -1)
        if not pools[host.pool]:
            del pools[host.pool]
            del self._lanes[machine, host.pool]
        if not pools:
            del self._machines[machine]
        self._withdraw(host)

    def _withdraw(self, host: Host) -> None:
        if host.place < 0:
            return
        lane = self._offered[host.pool, host.lane]
        last = lane.pop()
        if last is not host:
            lane[host.place] = last
            last.place = host.place
        host.place = -1
        if not lane:
            del self._offered[host.pool, host.lane]

    def _lane_for(self, up: HostUp) -> int:
        """Return the lane of a new host: slow ones are never more than quick ones.

        They alternate in the order Q S, S Q, S Q, Q S, ... (Thue-Morse), so that
        wherever hosts are bound to cores in turn, each core has hosts of both lanes.
        """
        lanes = self._lanes.get((up.machine, up.pool), [0, 0])
        if lanes[SLOW] >= lanes[QUICK]:
            return QUICK
        is_second = lanes[QUICK] == lanes[SLOW] + 1
        if not is_second or not (lanes[QUICK] - 1).bit_count() % 2:
            return SLOW
        last = next(reversed(self._machines[up.machine][up.pool].values()))
        if last.lane == SLOW or last.states or last.loads:
            return SLOW
        self._change_lane(last, SLOW)
        return QUICK

    def _change_lane(self, host: Host, lane: int) -> None:
        is_offered = host.place >= 0
        self._withdraw(host)
        self._count(host, -1)
        host.lane = lane
        self._count(host, 1)
        if is_offered:
            self._offer(host)

    def count_slow(self, pool: Pool, change: int) -> None:
        """Note that a script of this pool became slow (1) or is no longer (-1)."""
        self._slow_scripts[pool] = self._slow_scripts.get(pool, 0) + change

    def lanes(self, record: Record) -> list[int]:
        """Return the lanes where the script may live, best first."""
        pool = record.pool
        if (pool, SLOW) not in self._offered or (pool, QUICK) not in self._offered:
            return [QUICK, SLOW]
        if record.lane == SLOW:
            return [SLOW]
        return [QUICK] if self._slow_scripts.get(pool, 0) else [QUICK, SLOW]

    def is_in_lane(self, record: Record, host: Host) -> bool:
        """Say whether this host is where the script may live."""
        return host.lane in self.lanes(record)

    def size(self, record: Record) -> int:
        """Return how many hosts the script may live on."""
        return sum(
            len(self._offered.get((record.pool, n), ())) for n in self.lanes(record)
        )

    def pool_size(self, pool: Pool) -> int:
        """Return how many hosts of the pool can be given states."""
        return len(self._offered.get((pool, QUICK), ())) + len(
            self._offered.get((pool, SLOW), ())
        )

    def choose(
        self, record: Record, idle: tuple[HostId, ...], now: float, *, must_idle: bool
    ) -> Host | None:
        """Return the best host that holds no state of this script, or None.

        idle: hosts that a front knows to have nothing to do. With `must_idle` another
        one will not do: on a busy host a clone adds nothing.
        """
        self._first += 1
        lanes = self.lanes(record)
        best: Host | None = None
        if idle:
            for lane in lanes:
                best = self._best_idle(record, idle, lane, now)
                if best is not None:
                    return best
        if must_idle:
            return None
        for lane in lanes:
            best = self._best_of(record, self._offered.get((record.pool, lane)), now)
            if best is not None:
                return best
        return None

    def _best_idle(
        self, record: Record, idle: tuple[HostId, ...], lane: int, now: float
    ) -> Host | None:
        best: Host | None = None
        least = 0.0
        compared = 0
        for i in range(len(idle)):
            host = self.hosts.get(idle[(self._first + i) % len(idle)])
            if host is None or host.lane != lane or not _can_take(record, host, now):
                continue
            burden = self._burden(record, host, now)
            if best is None or burden < least:
                best, least = host, burden
            compared += 1
            if compared >= _COMPARED:
                break
        return best

    def _best_of(
        self, record: Record, hosts: list[Host] | None, now: float
    ) -> Host | None:
        if not hosts:
            return None
        best: Host | None = None
        least = 0.0
        compared = 0
        start = self._first * _COMPARED
        for i in range(len(hosts)):
            host = hosts[(start + i) % len(hosts)]
            if not _can_take(record, host, now):
                continue
            burden = self._burden(record, host, now)
            if best is None or burden < least:
                best, least = host, burden
            compared += 1
            if compared >= _COMPARED:
                break
        return best

    def _burden(self, record: Record, host: Host, now: float) -> float:
        """Return what speaks against a host, in seconds.

        Loads under way, work, states, and states of the script on the same machine.
        """
        burden = len(host.loads) * _LOADING_S + len(host.states) * _STATE_S
        burden += host.busy.now(now / _BUSY_HALF_LIFE_S)
        if len(self._machines) > 1 and record.states:
            machine = host.up.machine
            for state in record.states:
                if state.host.up.machine == machine:
                    burden += _NEIGHBOUR_S
        return burden

    def worked(self, host: Host, busy_s: float, now: float) -> None:
        """Count time that the host spent on requests."""
        host.busy.add(busy_s, now / _BUSY_HALF_LIFE_S)

    def check(self) -> None:
        """Raise AssertionError if a list does not hold all and only what it should."""
        hosts = self.hosts.values()
        assert self.unknown == sum(not host.is_known for host in hosts)
        offered = {host.id for lane in self._offered.values() for host in lane}
        assert offered == {h.id for h in hosts if h.is_known and not h.is_retiring}
        for (pool, number), lane in self._offered.items():
            for place, host in enumerate(lane):
                assert (host.pool, host.lane, host.place) == (pool, number, place)
        listed = [h for machine in self._machines for h in self.of_machine(machine)]
        assert sorted(h.id for h in listed) == sorted(self.hosts)
        for (machine, pool), lanes in self._lanes.items():
            members = self._machines[machine][pool].values()
            assert lanes == [sum(h.lane == n for h in members) for n in (QUICK, SLOW)]


def _can_take(record: Record, host: Host, now: float) -> bool:
    return (
        host.is_known
        and host.refused_until <= now
        and not host.is_retiring
        and host.pool == record.pool
        and record.script not in host.states
        and record.script not in host.loads
    )

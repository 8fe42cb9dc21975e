"""The VM hosts of the farm, and which of them gets a new state.

The hosts of a pool form two lanes on each machine, so that a quick script seldom stands
behind a slow one: half of them are for scripts that are slow on average. Lanes are
where a script is at home, not where it has to stay: hosts of the other lane that idle
are lent to requests that have waited for a while (`luafarm.patience`). Only one host of
the quick lane is kept from everything that is not known to be quick, so that there
always is one that begins a quick request at once. Fronts need no rule for that: no such
script has a state there. A pool with a single host on a machine has no lanes there.

Of a script that has not run yet nobody knows what it is. Its first state is put into
the quick lane, as most are quick, but not on the host that is kept: it could run for
ever. A script that may have one state only, unlike others, is put just there, as its
state cannot be moved later; if it is slow after all, another host is kept.

Among many hosts a few are compared, chosen by a counter that walks round: the best of
eight is as good as the best of a thousand, and costs the same whatever the farm's size.
"""

# Compiled.

from typing import Final

from broker.tables import KEPT, QUICK, SLOW, Host, Record, cannot_leave, is_home
from luafarm.names import HostId, Machine, Pool
from luafarm.wire.messages import HostUp

_COMPARED: Final = 8
_BUSY_HALF_LIFE_S: Final = 2.0

# What speaks against a host, as seconds of recent work:
_LOADING_S: Final = 0.01  # about what a load under way takes
_STATE_S: Final = 0.0001  # only evens out what is equal otherwise
_NEIGHBOUR_S: Final = 0.5  # a machine that is lost should not take all states along
_HELD_S: Final = 10.0  # a run that has lasted from report to report may well never end


class Roster:
    """Hosts by id, by machine, and by pool and lane."""

    def __init__(self) -> None:
        self.hosts: dict[HostId, Host] = {}
        #: hosts that have not told what they hold
        self.unknown = 0
        #: by machine, then all of its hosts of a pool in order of joining
        self._machines: dict[Machine, dict[Pool, dict[HostId, Host]]] = {}
        #: how many of them are in each lane; those that are kept are of the quick one
        self._lanes: dict[tuple[Machine, Pool], list[int]] = {}
        #: known hosts that may be given states, by pool and lane
        self._offered: dict[tuple[Pool, int], list[Host]] = {}
        self._slow_scripts: dict[Pool, int] = {}
        #: walks round: where the next comparison begins
        self._first = 0
        #: hosts that were chosen to be kept since `take_cleared`
        self._cleared: list[Host] = []
        #: where none of several hosts can be kept now
        self._lacking: dict[tuple[Machine, Pool], None] = {}

    def join(self, up: HostUp, now: float) -> Host:
        """Add a host; it gets no state before `know`."""
        host = Host(up, self._lane_for(up))
        host.joined_at = now
        self.hosts[up.host] = host
        self.unknown += 1
        pools = self._machines.setdefault(up.machine, {})
        pools.setdefault(up.pool, {})[up.host] = host
        self._count(host, 1)
        self._keep(up.machine, up.pool)
        return host

    def _count(self, host: Host, change: int) -> None:
        lanes = self._lanes.setdefault((host.up.machine, host.pool), [0, 0])
        lanes[SLOW if host.lane == SLOW else QUICK] += change

    def of_machine(self, machine: Machine) -> list[Host]:
        """Return the hosts of a machine."""
        pools = self._machines.get(machine, {}).values()
        return [host for hosts in pools for host in hosts.values()]

    def know(self, host: Host) -> None:
        """Let a host be chosen that has told what it holds."""
        host.is_known = True
        self.unknown -= 1
        self._offer(host)
        self._keep(host.up.machine, host.pool)

    def _offer(self, host: Host) -> None:
        lane = self._offered.setdefault((host.pool, host.lane), [])
        host.place = len(lane)
        lane.append(host)

    def retire(self, host: Host, now: float) -> None:
        """Choose this host no more; it is about to be replaced."""
        host.is_retiring = True
        host.retiring_since = now
        self._withdraw(host)
        self._keep(host.up.machine, host.pool)

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
        self._keep(machine, host.pool)

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
        if last.lane != QUICK or last.states or last.loads:
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

    # -- hosts that are kept for quick scripts -----------------------------------------

    def _keep(self, machine: Machine, pool: Pool) -> None:
        """Keep a host of two or more; slow scripts are to leave it."""
        members = self._machines.get(machine, {}).get(pool, {}).values()
        self._lacking.pop((machine, pool), None)
        if len(members) < 2 or any(h.lane == KEPT and h.place >= 0 for h in members):
            return
        host = _freest([h for h in members if h.lane == QUICK])
        if host is None:
            self._lacking[machine, pool] = None
            return
        self._change_lane(host, KEPT)
        self._cleared.append(host)

    def hand_over(self, host: Host) -> None:
        """Keep another host than this one: what is slow here does not leave."""
        if host.place < 0:
            return  # it retires: another one is kept already
        members = self._machines[host.up.machine][host.pool].values()
        for lane in (QUICK, SLOW):
            other = _freest([h for h in members if h.lane == lane])
            if other is not None:
                self._change_lane(host, lane)
                self._change_lane(other, KEPT)
                self._cleared.append(other)
                return

    def take_cleared(self) -> list[Host]:
        """Return the hosts that slow scripts are to leave since the last call.

        It keeps a host where none could be: what was in the way may have left.
        """
        for place in list(self._lacking):
            self._keep(*place)
        cleared, self._cleared = self._cleared, []
        return [host for host in cleared if host.lane == KEPT]

    # -- lanes of a script -------------------------------------------------------------

    def _has(self, pool: Pool, lane: int) -> bool:
        return (pool, lane) in self._offered

    def home(self, record: Record) -> list[int]:
        """Return the lanes where the script is at home, best first."""
        pool = record.pool
        has_quick, has_slow = self._has(pool, QUICK), self._has(pool, SLOW)
        if not has_quick and not has_slow:
            return [KEPT]
        if record.lane == SLOW:
            return [SLOW] if has_slow else [QUICK]
        lanes = [QUICK] if has_quick else []
        if record.is_pinned or (record.is_known() and record.states):
            lanes.insert(0, KEPT)  # there no other script keeps it waiting
        elif record.is_known():
            lanes.append(KEPT)
        if not lanes or not self._slow_scripts.get(pool):
            lanes.append(SLOW)
        return lanes

    def lent(self, record: Record) -> list[int]:
        """Return the lanes that are lent to the script, for requests that waited."""
        if record.lane == SLOW:
            return [QUICK]
        return [SLOW] if self._slow_scripts.get(record.pool) else []

    def is_allowed(self, record: Record, host: Host) -> bool:
        """Say whether the script may have a state on this host."""
        return host.lane in self.home(record) or host.lane in self.lent(record)

    def is_at_home(self, record: Record, host: Host) -> bool:
        """Say whether the script is at home on this host."""
        return is_home(record, host) or host.lane in self.home(record)

    def size(self, record: Record) -> int:
        """Return how many hosts a script may take, if nobody else wants any.

        A quick one has enough of its own: half of them are as many as processors.
        """
        lanes = self.home(record)
        if record.lane == SLOW:
            lanes = list({*lanes, *self.lent(record)})
        return sum(len(self._offered.get((record.pool, n), ())) for n in lanes)

    def pool_size(self, pool: Pool) -> int:
        """Return how many hosts of the pool can be given states."""
        return sum(len(self._offered.get((pool, n), ())) for n in (QUICK, SLOW, KEPT))

    # -- choosing ----------------------------------------------------------------------

    def choose(
        self, record: Record, idle: tuple[HostId, ...], now: float, *, must_idle: bool
    ) -> Host | None:
        """Return the best host that holds no state of this script, or None.

        idle: hosts that a front knows to have nothing to do. With `must_idle` another
        one will not do: on a busy host a clone adds nothing.
        """
        self._first += 1
        lanes = self.home(record)
        best = self._best_idle(record, idle, lanes, now)
        if best is None and not must_idle:
            best = self._best_of(record, lanes, now)
            if best is None or best.held:
                lent = self.lent(record)
                other = self._best_idle(record, idle, lent, now)
                best = other or best or self._best_of(record, lent, now)
            if best is None and record.lane != SLOW:
                best = self._best_of(record, [KEPT], now)  # all others have no memory
        return best

    def choose_lent(
        self, record: Record, idle: tuple[HostId, ...], now: float
    ) -> Host | None:
        """Return the best idle host that is lent to this script, or None."""
        return self._best_idle(record, idle, self.lent(record), now)

    def _best_idle(
        self, record: Record, idle: tuple[HostId, ...], lanes: list[int], now: float
    ) -> Host | None:
        """Return the best of the idle hosts, of the first lane that has one."""
        for lane in lanes if idle else []:
            best = self._best_idle_in(record, idle, lane, now)
            if best is not None:
                return best
        return None

    def _best_idle_in(
        self, record: Record, idle: tuple[HostId, ...], lane: int, now: float
    ) -> Host | None:
        best: Host | None = None
        least = 0.0
        compared = 0
        for i in range(len(idle)):
            host = self.hosts.get(idle[(self._first + i) % len(idle)])
            if host is None or host.lane != lane or not _can_take(record, host, now):
                continue
            if host.held:
                continue  # by a run of a front that this one does not see
            burden = self._burden(record, host, now)
            if best is None or burden < least:
                best, least = host, burden
            compared += 1
            if compared >= _COMPARED:
                break
        return best

    def _best_of(self, record: Record, lanes: list[int], now: float) -> Host | None:
        """Return the best host, idle or not, of the first lane that has one."""
        for lane in lanes:
            hosts = self._offered.get((record.pool, lane))
            best = self._best_among(record, hosts, now)
            if best is not None:
                return best
        return None

    def _best_among(
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
        if host.held:
            burden += _HELD_S
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
            slow = sum(host.lane == SLOW for host in members)
            assert lanes == [len(members) - slow, slow]
            kept = sum(host.lane == KEPT and host.place >= 0 for host in members)
            can_be = _freest([host for host in members if host.lane == QUICK])
            assert kept or len(members) < 2 or can_be is None


def _freest(hosts: list[Host]) -> Host | None:
    """Return the host with the fewest slow scripts, all of which can leave."""
    best: Host | None = None
    least = 0
    for host in hosts:
        if host.place < 0 or host.held:
            continue
        slow = [s.record for s in host.states.values() if s.record.lane == SLOW]
        if any(cannot_leave(record) for record in slow):
            continue
        if best is None or len(slow) < least:
            best, least = host, len(slow)
    return best


def _can_take(record: Record, host: Host, now: float) -> bool:
    return (
        host.is_known
        and host.refused_until <= now
        and not host.is_retiring
        and host.pool == record.pool
        and record.script not in host.states
        and record.script not in host.loads
    )

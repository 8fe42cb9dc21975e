"""The VM hosts of the farm, and which of them gets a new state.

The hosts of a pool form two lanes on each machine, so that a quick script never stands
behind a slow one: half of them are for scripts that are slow on average. While a pool
has no slow script its quick ones may spill over, after their own lane is used up. A
pool with a single host on a machine has no lanes there.

Among many hosts a few are compared, chosen by a counter that walks round: the best of
eight is as good as the best of a thousand, and costs the same whatever the farm's size.
"""

from typing import Final

from broker.tables import QUICK, SLOW, Host, Record
from luafarm.messages import HostUp
from luafarm.names import HostId, Pool

_COMPARED: Final = 8
_BUSY_HALF_LIFE_S: Final = 2.0

# What speaks against a host, as seconds of recent work:
_LOADING_S: Final = 0.01  # a load under way takes about so long
_STATE_S: Final = 0.0001  # only evens out what is equal otherwise
_NEIGHBOUR_S: Final = 0.5  # a machine that is lost should not take all states along


class Roster:
    """Hosts by id and by pool and lane."""

    def __init__(self) -> None:
        self.hosts: dict[HostId, Host] = {}
        #: known hosts that may be given states, by pool and lane, in order of joining
        self._ready: dict[tuple[Pool, int], list[Host]] = {}
        self._slow_scripts: dict[Pool, int] = {}
        self._turn = 0
        self._machines = 0

    def join(self, up: HostUp, now: float) -> Host:
        """Add a host; it gets no state before `ready`."""
        host = Host(up, self._lane_for(up))
        host.joined_at = now
        self.hosts[up.host] = host
        self._machines = len({h.up.machine for h in self.hosts.values()})
        return host

    def ready(self, host: Host) -> None:
        """Let the host be chosen from now on."""
        host.is_known = True
        self._ready.setdefault((host.pool, host.lane), []).append(host)

    def retire(self, host: Host, now: float) -> None:
        """Choose this host no more; it is about to be replaced."""
        host.is_retiring = True
        host.retiring_since = now
        self._unready(host)

    def leave(self, host: Host) -> None:
        """Take the host out of all lists."""
        del self.hosts[host.id]
        self._unready(host)

    def _unready(self, host: Host) -> None:
        lane = self._ready.get((host.pool, host.lane))
        if lane is not None and host in lane:
            lane.remove(host)
            if not lane:
                del self._ready[host.pool, host.lane]

    def _lane_for(self, up: HostUp) -> int:
        """Return the lane of a new host: slow ones are never more than quick ones.

        They alternate in the order Q S, S Q, S Q, Q S, ... (Thue-Morse), so that
        wherever hosts are bound to cores in turn, each core has hosts of both lanes.
        """
        lanes = [0, 0]
        last: Host | None = None
        for host in self.hosts.values():
            if host.pool == up.pool and host.up.machine == up.machine:
                lanes[host.lane] += 1
                last = host
        if lanes[SLOW] >= lanes[QUICK]:
            return QUICK
        is_second = lanes[QUICK] == lanes[SLOW] + 1
        if last is None or not is_second or not (lanes[QUICK] - 1).bit_count() % 2:
            return SLOW
        if last.lane == SLOW or last.states or last.loads:
            return SLOW
        self._change_lane(last, SLOW)
        return QUICK

    def _change_lane(self, host: Host, lane: int) -> None:
        is_ready = host.is_known and not host.is_retiring
        if is_ready:
            self._unready(host)
        host.lane = lane
        if is_ready:
            self._ready.setdefault((host.pool, host.lane), []).append(host)

    def count_slow(self, pool: Pool, change: int) -> None:
        """Note that a script of this pool became slow (1) or is no longer (-1)."""
        self._slow_scripts[pool] = self._slow_scripts.get(pool, 0) + change

    def lanes(self, record: Record) -> list[int]:
        """Return the lanes where the script may live, best first."""
        pool = record.pool
        if (pool, SLOW) not in self._ready or (pool, QUICK) not in self._ready:
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
            len(self._ready.get((record.pool, n), ())) for n in self.lanes(record)
        )

    def pool_size(self, pool: Pool) -> int:
        """Return how many hosts of the pool can be given states."""
        return len(self._ready.get((pool, QUICK), ())) + len(
            self._ready.get((pool, SLOW), ())
        )

    def choose(
        self, record: Record, idle: tuple[HostId, ...], now: float, *, must_idle: bool
    ) -> Host | None:
        """Return the best host that holds no state of this script, or None.

        idle: hosts that a front knows to have nothing to do. With `must_idle` another
        one will not do: on a busy host a clone adds nothing.
        """
        self._turn += 1
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
            best = self._best_of(record, self._ready.get((record.pool, lane)), now)
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
            host = self.hosts.get(idle[(self._turn + i) % len(idle)])
            if host is None or host.lane != lane or not _can_take(record, host):
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
        start = self._turn * _COMPARED
        for i in range(len(hosts)):
            host = hosts[(start + i) % len(hosts)]
            if not _can_take(record, host):
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
        if self._machines > 1 and record.states:
            machine = host.up.machine
            for state in record.states:
                if state.host.up.machine == machine:
                    burden += _NEIGHBOUR_S
        return burden

    def worked(self, host: Host, busy_s: float, now: float) -> None:
        """Count time that the host spent on requests."""
        host.busy.add(busy_s, now / _BUSY_HALF_LIFE_S)

    def check(self) -> None:
        """Raise AssertionError unless the lanes hold all and only the ready hosts."""
        ready = {host.id for lane in self._ready.values() for host in lane}
        assert ready == {
            host.id
            for host in self.hosts.values()
            if host.is_known and not host.is_retiring
        }


def _can_take(record: Record, host: Host) -> bool:
    return (
        host.is_known
        and not host.is_retiring
        and host.pool == record.pool
        and record.script not in host.states
        and record.script not in host.loads
    )

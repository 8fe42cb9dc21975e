"""Where states go: the first one of a script, further ones, and who makes space.

A request that waits for a first state is always answered: when there is neither space
nor a victim it stands in `wanting` until one turns up. A state that has not served
since it was loaded is no victim, else misses would chase each other for ever.
"""

# Compiled.

from typing import Final

from broker.cloning import LEAST_WAIT_S, WORTH_RATIO, CloneAllowance, wanted
from broker.events import Pressed
from broker.farm import Farm
from broker.resolve import shown
from broker.tables import QUICK, SLOW, Generation, Host, Record, State
from luafarm.names import HostId, Pool, Script

YOUNG_S: Final = 1.0
"""After this time a state that nobody used can be a victim after all: the request that
it was loaded for went away."""

SLOW_S: Final = 0.004
"""A script whose mean service time is longer moves to the slow lane."""

QUICK_S: Final = 0.002
"""And back, when it is shorter than this: 2:1, so that none moves to and fro."""

FULL: Final = 0.9
"""Part of a host's memory that its states may take, as they were after loading."""


class Allocation:
    """Decides about rooms and hosts."""

    def __init__(self, farm: Farm, cores: int) -> None:
        self._farm = farm
        self._step = farm.step
        self._cores = cores
        self._budget = CloneAllowance(farm.settings.broker.clone_cpu_share)
        #: scripts that need a first state and found no space or no host, in order
        self._wanting: dict[Pool, dict[Script, Record]] = {}
        #: scripts with fewer than `min_clones` states for want of space or hosts
        self._short: dict[Script, Record] = {}

    # -- first states ----------------------------------------------------------------

    def place(self, record: Record, generation: Generation) -> bool:
        """Order a first state; what finds no space or host waits. Return if ordered."""
        farm = self._farm
        host = farm.roster.choose(record, record.idle, self._step.now, must_idle=False)
        if host is None or not self.make_space(record, None):
            wanting = self._wanting.setdefault(record.pool, {})
            if record.script not in wanting:
                reason = "waits_for_space" if host is not None else "waits_for_host"
                self._step.count(reason)
                wanting[record.script] = record
            return False
        farm.begin(record, host, generation, background=not record.askers)
        return True

    def retry(self) -> None:
        """Give space or hosts that turned up to those who wait for them."""
        for pool, wanting in list(self._wanting.items()):
            while wanting:
                script = next(iter(wanting))
                if not self._retry(wanting[script]):
                    break  # for those behind it is the same
                wanting.pop(script, None)
            if not wanting:
                del self._wanting[pool]

    def _retry(self, record: Record) -> bool:
        """Return False when there still is no space or no host."""
        generation = record.next or record.current
        if generation is None or record.loads or record.states:
            return True
        if self._farm.quarantine.remaining_s(record.script, self._step.now) > 0.0:
            return True
        return self.place(record, generation)

    def wanting(self) -> int:
        """Return how many scripts wait for space or a host."""
        return sum([len(wanting) for wanting in self._wanting.values()])

    # -- space -----------------------------------------------------------------------

    def make_space(self, record: Record, limit_s: float | None) -> bool:
        """Make space for one state more, if what must go is worth less than this."""
        farm = self._farm
        while True:
            own_pool = farm.is_pool_full(record.pool)
            is_full = farm.taken >= farm.limit
            if not (own_pool or is_full):
                return True
            if self._is_closing_much(record.pool):
                return False  # the space of what is told to close is not there yet
            victim = self._victim(record, own_pool=own_pool)
            if victim is None:
                return False
            if limit_s is not None:
                limit_s -= farm.worth_s(victim)
                if limit_s <= 0.0:
                    return False
            self.evict(victim, f"space for {shown(record.script)}")

    def make_share(self, pool: Pool) -> bool:
        """Make space for a state of a pool that has less than its share of a full farm.

        It is taken from the pool that has most, if that is more than its own share: who
        told first what it holds has not taken it from those that tell later.
        """
        farm = self._farm
        share = farm.limit // len(farm.pools)
        most = max(farm.taken_by, key=lambda name: farm.taken_by[name])
        if farm.taken_by[pool] >= share or farm.taken_by[most] <= share:
            return False
        victim = farm.victims.least(most)
        if victim is not None:
            self.evict(victim, f"share of pool {pool}")
        return farm.taken < farm.limit

    def _is_closing_much(self, pool: Pool) -> bool:
        """Say whether to wait until states are closed before others are told to.

        One pool whose hosts do not confirm cannot keep the others wanting.
        """
        most = max(16, self._farm.limit >> 3)
        closing = self._farm.closings.of_pool
        others = [min(n, most >> 1) for name, n in closing.items() if name != pool]
        return closing[pool] + sum(others) >= most

    def _victim(self, record: Record, *, own_pool: bool) -> State | None:
        """Return the state that is worth least, if any may go.

        own_pool: only such of the record's pool help. A script's first `min_clones`
        states go together, so they count as much as the best of them does.
        """
        victims = self._farm.victims
        while True:
            victim = victims.least_but(record, own_pool=own_pool)
            if victim is None or self._spare(victim.record) > 0:
                return victim
            most = max([s.key for s in victim.record.states if s.position >= 0])
            if most <= victim.key:
                return victim
            victims.put(victim, most)

    def relieve(self, host: Host) -> None:
        """Drop what a host's memory has no space for, the least worth first."""
        farm = self._farm
        limit_kib = farm.settings.pool[host.pool].host_memory * FULL / 1024
        while host.kib > limit_kib:
            if not self.shed(host):
                return

    def shed(self, host: Host, but: Record | None = None) -> bool:
        """Drop the state of a host that is worth least; False when there is none.

        but: whose state goes only if there is no other.
        """
        least: State | None = None
        for state in host.states.values():
            if state.position < 0:
                continue
            if least is None or (state.record is but, state.key) < (
                least.record is but,
                least.key,
            ):
                least = state
        if least is not None:
            self.evict(least, f"memory of host {host.id}")
        return least is not None

    def evict(self, state: State, reason: str) -> None:
        """Order a state to close for want of space."""
        farm = self._farm
        record = state.record
        worth_s = farm.worth_s(state)
        heat = state.heat.now(farm.lived())
        worth = f"heat {heat:.2f}, worth {worth_s * 1000:.2f} ms was the least"
        farm.evictions.note(record.script, f"{reason}: {worth}", self._step.now)
        self._step.count("evictions")
        farm.fading.stayed(self._step.now - state.born_at, self._step.now)
        farm.drop(state)
        if self._spare(record) < 0:
            for other in [s for s in record.states if s.position >= 0]:
                farm.drop(other)
        farm.bulletin.publish(record)
        if farm.is_unused(record):
            farm.cool(record)

    def _spare(self, record: Record) -> int:
        """Return how many states more a script has than it should at least."""
        return len(record.states) - self._farm.least_states(record)

    # -- further states --------------------------------------------------------------

    def clone(self, event: Pressed) -> None:
        """Load further states of a script whose requests wait, where that helps."""
        farm = self._farm
        record = farm.records.get(event.script)
        if record is None or record.current is None or not record.states:
            return
        if record.next is not None:
            return  # that much more to renew in a moment
        self._step.count("pressures")
        if event.waited_s < max(record.load_s, LEAST_WAIT_S):
            return
        waiting_s = record.waited.now(farm.lived()) + event.total_s
        states = len(_hosts(record))
        for _ in range(wanted(event.queued, record.service_s, record.load_s, states)):
            if not self._clone_once(record, record.current, event, waiting_s):
                return

    def _clone_once(
        self, record: Record, generation: Generation, event: Pressed, waiting_s: float
    ) -> bool:
        farm = self._farm
        if len(_hosts(record)) >= self._most(record):
            self._step.count("clones_at_limit")
            return False
        host = farm.roster.choose(record, event.idle, self._step.now, must_idle=True)
        if host is None:
            return False
        if not self._budget.allows(record.load_s, self.cores(), self._step.now):
            self._step.count("clones_over_budget")
            return False
        if not self.make_space(record, waiting_s / WORTH_RATIO):
            return False
        loading = farm.begin(record, host, generation, background=False)
        loading.wait_s = event.total_s / max(event.queued, 1)
        loading.uses = float(max(event.queued, 1))
        self._step.count("clones")
        return True

    def _most(self, record: Record) -> int:
        """Return how many hosts a script may take: some are left to the others."""
        farm = self._farm
        hosts = farm.roster.size(record)
        has_others = len(farm.records) - len(farm.remembered) > 1
        fair = hosts - max(1, hosts // 4) if has_others and hosts > 2 else hosts
        return min(farm.most_states(record), max(fair, 1))

    def cores(self) -> int:
        """Return the cores of the farm; those of other machines by their hosts."""
        return max(self._cores, len(self._farm.roster.hosts) // 2, 1)

    def top_up(self, record: Record) -> None:
        """Load what is missing to the least number of states of a loaded script.

        And drop what is above the most of one that is restrained.
        """
        farm = self._farm
        self._trim(record)
        least = farm.least_states(record)
        self._short.pop(record.script, None)
        if record.current is None or not record.states:
            return
        while len(_hosts(record)) < least:
            host = farm.roster.choose(record, (), self._step.now, must_idle=False)
            if host is None or not self.make_space(record, None):
                self._short[record.script] = record
                return
            farm.begin(record, host, record.current, background=True)

    def top_up_short(self) -> None:
        """Try again for scripts that have fewer states than they should."""
        for record in list(self._short.values()):
            if record.next is None:
                self.top_up(record)
            if record.script in self._short:
                return

    # -- lanes -----------------------------------------------------------------------

    def review_lane(self, record: Record) -> None:
        """Move a script whose requests have become slow, or quick."""
        is_restrained = self._farm.is_restrained(record)
        if record.lane == QUICK and (is_restrained or record.service_s > SLOW_S):
            self._relane(record, SLOW)
        elif record.lane == SLOW and record.service_s < QUICK_S and not is_restrained:
            self._relane(record, QUICK)

    def restrain(self, record: Record) -> None:
        """Leave few of the slow lane's hosts to a script, from now on."""
        for loading in list(record.loads.values()):
            if not loading.sent:
                self._farm.end(loading)
        self.review_lane(record)
        self._trim(record)

    def _trim(self, record: Record) -> None:
        """Drop the states that are too many since the script is restrained."""
        excess = record.states[self._farm.most_states(record) :]
        for state in excess:
            if record.script not in state.host.loads:
                self._farm.drop(state)
        if excess:
            self._farm.bulletin.publish(record)

    def _relane(self, record: Record, lane: int) -> None:
        self._step.count("lane_changes")
        self._farm.relane(record, lane)
        record.is_moving = True
        self._farm.bulletin.publish(record)
        self.move(record)

    def move(self, record: Record) -> None:
        """Bring a script into its lane: load it there, then drop what is elsewhere."""
        farm = self._farm
        if not record.is_moving or record.next is not None or record.current is None:
            return
        outside = [
            s for s in record.states if not farm.roster.is_in_lane(record, s.host)
        ]
        inside = [s for s in farm.bulletin.servable(record) if s not in outside]
        if not outside or inside:
            record.is_moving = False
            for state in outside:
                if record.script not in state.host.loads:
                    farm.drop(state)
            farm.bulletin.publish(record)
            return
        under_way = [x.host for x in record.loads.values()]
        if any(farm.roster.is_in_lane(record, host) for host in under_way):
            return
        host = farm.roster.choose(record, (), self._step.now, must_idle=False)
        if host is None or not farm.roster.is_in_lane(record, host):
            return
        if len(_hosts(record)) >= record.policy.clones:
            farm.drop(outside[-1])
            farm.bulletin.publish(record)
        if self.make_space(record, None):
            farm.begin(record, host, record.current, background=True)

    # -- time ------------------------------------------------------------------------

    def grow_up(self) -> None:
        """Let states that nobody came for be victims."""
        farm = self._farm
        while farm.young:
            state = next(iter(farm.young))
            if self._step.now - state.loaded_at < YOUNG_S:
                return
            farm.served(state)


def _hosts(record: Record) -> set[HostId]:
    """Return the hosts that have a state of the script or get one."""
    return {s.host.id for s in record.states} | set(record.loads)

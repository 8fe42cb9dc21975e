"""Where states go: the first one of a script, further ones, and who makes space.

A request that waits for a first state is always answered: when there is neither space
nor a victim it stands in `wanting` until one turns up. A state that has not served
since it was loaded is no victim, else misses would chase each other for ever. So in a
flood of scripts that are asked for once the only victims may be states that many ask
for: these are spared, as some of the flood are known to have served in a moment.
"""

# Compiled.

from typing import Final

from broker.cloning import LEAST_WAIT_S, WORTH_RATIO, CloneAllowance, wanted
from broker.events import Pressed
from broker.farm import Farm
from broker.lanes import Lanes
from broker.resolve import shown
from broker.tables import SLOW, Generation, Host, Record, State
from luafarm.names import HostId, Pool, Script
from luafarm.patience import patience_s

YOUNG_S: Final = 1.0
"""After this time a state that nobody used can be a victim after all: the request that
it was loaded for went away."""

DEAR_S: Final = 0.2
"""A victim that saves more waiting than this is spared while there are young states:
fronts tell of their uses every 0.1 s, so waiting for that costs less."""

FULL: Final = 0.9
"""Part of a host's memory that its states may take, as they were after loading."""


class Allocation:
    """Decides about rooms and hosts."""

    def __init__(self, farm: Farm, cores: int) -> None:
        self._farm = farm
        self._step = farm.step
        self._cores = cores
        self._budget = CloneAllowance(farm.settings.broker.clone_cpu_share)
        self._lanes = Lanes(farm, self.make_space)
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

    def place_beside(self, record: Record, generation: Generation) -> None:
        """Order a first state on an idle host, as the one under way may never come."""
        farm = self._farm
        if len(record.loads) >= farm.most_states(record):
            return
        now, idle = self._step.now, record.idle
        host = farm.roster.choose(record, idle, now, must_idle=True)
        host = host or farm.roster.choose_lent(record, idle, now)
        if host is not None and self.make_space(record, None):
            farm.begin(record, host, generation, background=False)

    def retry(self) -> None:
        """Clear hosts that are kept, then give space or hosts to those who wait.

        Called after every event, as any may have made it possible.
        """
        self._lanes.clear()
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
        """Make space for one state more, if what must go is worth less than this.

        limit_s: None: whatever it is worth, but what is dear is spared for a moment.
        """
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
            elif self._is_dear(victim, record, own_pool=own_pool):
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

    def _is_dear(self, victim: State, record: Record, *, own_pool: bool) -> bool:
        """Say whether to wait until there is a victim that is worth less."""
        young = next(iter(self._farm.young), None)
        if young is None or (own_pool and young.record.pool != record.pool):
            return False
        return self._farm.worth_s(victim) > DEAR_S

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
        running = {host.id for host in farm.closings.of(record.script).values()}
        if len(_hosts(record) | running) >= self._most(record):
            self._step.count("clones_at_limit")
            return False
        host = farm.roster.choose(record, event.idle, self._step.now, must_idle=True)
        if host is None and event.waited_s >= patience_s(record.service_s):
            host = farm.roster.choose_lent(record, event.idle, self._step.now)
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
        """Return how many hosts a script may take: some are left to the others.

        One whose requests may never end leaves one also to scripts yet to come; one of
        which is known that they end soon gives hosts back before others miss them.
        """
        farm = self._farm
        hosts = farm.roster.size(record)
        has_others = len(farm.records) - len(farm.remembered) > 1
        if not record.is_known() or record.is_long(self._step.now):
            left = max(1, hosts // 4)
        elif not has_others or hosts <= 2:
            left = 0
        elif record.lane == SLOW:
            left = hosts // 4
        else:
            left = max(1, hosts // 4)
        more = sum(not farm.roster.is_allowed(record, s.host) for s in record.states)
        return min(farm.most_states(record), max(hosts - left, 1) + more)

    def cores(self) -> int:
        """Return the cores of the farm; those of other machines by their hosts."""
        return max(self._cores, len(self._farm.roster.hosts) // 2, 1)

    def top_up(self, record: Record) -> None:
        """Load what is missing to the least number of states of a loaded script.

        And drop what is above the most of one that is restrained.
        """
        farm = self._farm
        self._trim(record, farm.most_states(record))
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
        self._lanes.review(record)

    def move(self, record: Record) -> None:
        """Bring a script into its lane, if it has changed that."""
        self._lanes.move(record)

    def running(self, host: Host, record: Record | None, requests: int) -> None:
        """Note what a host runs, and how many requests it has begun, as reported."""
        if self._lanes.running(host, record, requests) and record is not None:
            self._trim(record, self._most(record))

    def restrain(self, record: Record) -> None:
        """Leave few of the slow lane's hosts to a script, from now on."""
        for loading in list(record.loads.values()):
            if not loading.sent:
                self._farm.end(loading)
        self.review_lane(record)
        self._trim(record, self._farm.most_states(record))

    def _trim(self, record: Record, most: int) -> None:
        """Drop the states that are more than a script may have from now on."""
        # on hosts that are replaced they go anyway
        states = sorted(record.states, key=lambda state: state.host.is_retiring)
        excess = states[most:]
        for state in excess:
            if record.script not in state.host.loads:
                self._farm.drop(state)
        if excess:
            self._farm.bulletin.publish(record)

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

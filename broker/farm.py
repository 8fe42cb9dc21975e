"""The broker's tables and the elementary moves between them.

Whatever moves a state or load from one table to another, counts one, or changes what is
watched for a script goes through here, so that counts, watched files and the order of
worth always agree (`broker.invariants`). The other columns of a row, such as its
generations and what was measured of it, are set by whoever decides about them: hosts
and space for states in `broker.allocation`, generations in `broker.renewal`, hosts that
come and go in `broker.census`, replacement in `broker.recycling`.
"""

# Compiled.

from typing import Final

from broker.actions import Drop, Fence, Load
from broker.bulletin import Bulletin
from broker.closings import Closings
from broker.epochs import Epochs
from broker.evictions import Evictions
from broker.fences import Fences
from broker.files import Files
from broker.following import Following
from broker.footprint import Footprint
from broker.heat import Fading, key, worth
from broker.missing import Missing
from broker.policies import policy, pool_paths
from broker.quarantine import Quarantine
from broker.restraint import Restraint
from broker.roster import Roster
from broker.step import Step
from broker.tables import (
    SLOW,
    Failure,
    Generation,
    Host,
    Loading,
    Record,
    State,
    is_home,
)
from broker.tickets import Tickets
from broker.victims import PoolVictims
from luafarm.config.settings import Settings
from luafarm.names import Epoch, Pool, Script

_RESTRAINED_SHARE: Final = 4
"""A restrained script gets one in four VM hosts of its pool, and at least one."""


class Farm:
    """Scripts, hosts and states."""

    def __init__(self, settings: Settings, step: Step, term: int) -> None:
        self.settings = settings
        self.step = step
        self.fading = Fading(settings.broker.heat_half_life, step.now)
        self.limit = settings.broker.states
        self.pools = pool_paths(settings)
        self.records: dict[Script, Record] = {}
        self.roster = Roster()
        self.bulletin = Bulletin(step, self.records, self.roster)
        self.files = Files(self.pools)
        self.footprint = Footprint(self.files, step, settings.broker.file_memory)
        self.following = Following(self.files, step)
        self.missing = Missing(settings.broker.missing)
        self.quarantine = Quarantine(settings.broker)
        self.restraint = Restraint(
            settings.broker.restraint_stops, settings.broker.quarantine_window
        )
        self.victims = PoolVictims()
        self.evictions = Evictions()
        self.fences = Fences()
        self.tickets = Tickets()
        #: scripts that have no state and wait for none: only their heat is remembered
        self.remembered: dict[Script, None] = {}
        #: scripts whose newest content does not load
        self.failed: dict[Script, Record] = {}
        #: states that have not served yet, in order of loading
        self.young: dict[State, None] = {}
        #: pairs of script and host that have a state or get one, by pool
        self.taken_by = dict.fromkeys(self.pools, 0)
        self.closings = Closings(self.pools)
        self.kib = 0
        #: seconds that this broker was awake; deadlines of others count these only
        self.watched_s = 0.0
        self.epochs = Epochs(term)
        self._serial = 0

    # -- scripts ---------------------------------------------------------------------

    def record(self, pool: Pool, script: Script) -> Record:
        """Return the row of this script, made when there is none."""
        record = self.records.get(script)
        if record is None:
            mine = policy(self.settings, self.pools[pool], script)
            is_pinned = mine.clones == 1 < self.settings.broker.clones
            record = Record(script, pool, mine, is_pinned=is_pinned)
            self.records[script] = record
        self.remembered.pop(script, None)
        return record

    def is_unused(self, record: Record) -> bool:
        """Say whether nothing but its heat makes a script worth remembering."""
        return (
            not (record.states or record.loads or record.askers)
            and record.failure is None
            and record.next is None
            and self.quarantine.remaining_s(record.script, self.step.now) <= 0.0
        )

    def is_restrained(self, record: Record) -> bool:
        """Say whether a script gets few VM hosts for a while."""
        return self.restraint.left_s(record.script, self.step.now) > 0.0

    def most_states(self, record: Record) -> int:
        """Return how many states a script may have now."""
        clones = record.policy.clones
        if self.is_restrained(record):
            share = self.roster.pool_size(record.pool) // _RESTRAINED_SHARE
            return min(clones, max(share, 1))
        return clones

    def least_states(self, record: Record) -> int:
        """Return how many states a script that is loaded should have now."""
        return min(record.policy.min_clones, self.most_states(record))

    def cool(self, record: Record) -> None:
        """Keep nothing of a script but its heat, and that of a bounded number."""
        assert not len(record.states) + len(record.loads) + len(record.askers)
        record.current = None
        record.next = None
        self.fail(record, None)
        self.following.keep(record, None)
        self.following.watch(record, {})
        record.told = None
        self.remembered.pop(record.script, None)
        self.remembered[record.script] = None
        if len(self.remembered) > max(1000, 4 * self.limit):
            oldest = next(iter(self.remembered))
            del self.remembered[oldest]
            del self.records[oldest]

    def fail(self, record: Record, failure: Failure | None) -> None:
        """Note why the newest content is not served, or that it is."""
        record.failure = failure
        self.failed.pop(record.script, None)
        if failure is not None:
            self.failed[record.script] = record

    # -- loads -----------------------------------------------------------------------

    def begin(
        self, record: Record, host: Host, generation: Generation, *, background: bool
    ) -> Loading:
        """Order a state of this generation, beside an older one where there is one.

        A background load waits until the host has no other one; nobody waits for it.
        """
        assert host.id not in record.loads
        epoch = generation.epoch
        old = host.states.get(record.script)
        if old is None:
            self.taken_by[record.pool] += 1
        else:
            self.victims.remove(old)
            if old.epoch >= epoch:  # renewed as it is: a load has an epoch of its own
                epoch = self.epochs.next()
        loading = Loading(record, host, generation, epoch, self.step.now)
        record.loads[host.id] = loading
        host.loads[record.script] = loading
        if background and host.background is not None:
            host.backlog.append(loading)
        else:
            if background:
                host.background = loading
            self.send(loading)
        return loading

    def send(self, loading: Loading) -> None:
        """Give the order for a load, which may have stood in a backlog."""
        record = loading.record
        generation = loading.generation
        loading.sent = True
        loading.since = self.step.now
        self.step.count("loads")
        self.step.out.append(
            Load(
                loading.host.id,
                record.pool,
                record.script,
                loading.epoch,
                generation.digest,
                tuple(generation.dependencies.values()),
                record.policy.limits,
            )
        )

    def end(self, loading: Loading) -> None:
        """Take a load off the tables, done or not; the host's backlog goes on."""
        record, host = loading.record, loading.host
        del record.loads[host.id]
        del host.loads[record.script]
        old = host.states.get(record.script)
        if old is None:
            self.taken_by[record.pool] -= 1
        else:
            self.rank(old)
        if host.background is loading:
            host.background = None
            self._go_on(host)

    def _go_on(self, host: Host) -> None:
        while host.backlog and host.background is None:
            following = host.backlog.popleft()
            is_wanted = host.loads.get(following.record.script) is following
            if is_wanted and not following.sent:
                host.background = following
                self.send(following)

    def settle(self, loading: Loading, kib: int) -> State:
        """Make the state that a host has loaded; it replaces an older one there."""
        record, host = loading.record, loading.host
        state = host.states.get(record.script)
        self.end(loading)
        if state is not None:
            state.generation = loading.generation
            state.epoch = loading.epoch
            state.loaded_at = self.step.now
            state.requests = 0
            self._weigh(state, kib)
            self.rank(state)
            return state
        state = self.adopt(record, host, loading.generation, loading.epoch, kib)
        state.wait_s = loading.wait_s
        if loading.wait_s > 0.0:
            state.heat.add(loading.uses, self.lived())
        else:
            heat = record.heat.now(self.lived())
            state.heat.add(max(1.0, heat), self.lived())
        self.young[state] = None
        return state

    # -- states ----------------------------------------------------------------------

    @property
    def taken(self) -> int:
        """Pairs of script and host that have a state or get one."""
        return sum(self.taken_by.values())

    def is_pool_full(self, pool: Pool) -> bool:
        """Return whether a pool has as many states as it may."""
        limit = self.settings.pool[pool].states
        return limit > 0 and self.taken_by[pool] >= limit

    def adopt(
        self, record: Record, host: Host, generation: Generation, epoch: Epoch, kib: int
    ) -> State:
        """Put a state that a host holds into the tables."""
        self._serial += 1
        state = State(record, host, generation, epoch, self._serial, self.step.now)
        self.taken_by[record.pool] += 1
        if not record.states and record.lane == SLOW:
            self.roster.count_slow(record.pool, 1)
        self._stand(record, state)
        host.states[record.script] = state
        self._weigh(state, kib)
        return state

    def _stand(self, record: Record, state: State) -> None:
        """Put a state into the hunting order: its own lane first, older ones first."""
        if is_home(record, state.host):
            for i, other in enumerate(record.states):
                if not is_home(record, other.host):
                    record.states.insert(i, state)
                    return
        record.states.append(state)

    def relane(self, record: Record, lane: int) -> None:
        """Let a script be quick or slow from now on."""
        if record.states:
            self.roster.count_slow(record.pool, 1 if lane == SLOW else -1)
        record.lane = lane
        states = record.states
        record.states = []
        for state in states:
            self._stand(record, state)
        for state in states:
            self.rank(state)

    def _weigh(self, state: State, kib: int) -> None:
        self.kib += kib - state.kib
        state.host.kib += kib - state.kib
        state.kib = kib
        state.record.kib = kib

    def lose(self, state: State) -> None:
        """Take a state that is gone, or ordered to close, off the tables."""
        record, host = state.record, state.host
        record.states.remove(state)
        del host.states[record.script]
        self.victims.remove(state)
        self.young.pop(state, None)
        self.kib -= state.kib
        host.kib -= state.kib
        if record.script not in host.loads:
            self.taken_by[record.pool] -= 1
        if record.states:
            self.rank(record.states[0])  # may have become the first
        elif record.lane == SLOW:
            self.roster.count_slow(record.pool, -1)

    def drop(self, state: State) -> None:
        """Order a state to close."""
        self.lose(state)
        self.close(state.host, state.record.script, state.epoch)

    def close(self, host: Host, script: Script, epoch: Epoch) -> None:
        """Order what a host has of a script to close, known or not."""
        self.closings.order(host, script, epoch)
        self.step.out.append(Drop(host.id, script, epoch))

    def fence_closing(self) -> None:
        """Fence off states that are being closed and may be of any age.

        Of a script with a served generation they are of that one, or fenced already.
        """
        for script in self.closings.scripts():
            record = self.records.get(script)
            if record is None or record.current is None:
                for host in self.closings.of(script).values():
                    self.fence(host, script, Epoch(host.draining[script] + 1))

    def holders(self, record: Record, served: Generation | None) -> list[Host]:
        """Return the hosts that may have a state of another generation than this."""
        hosts = dict(self.closings.of(record.script))
        for state in record.states:
            if state.generation is not served:
                hosts[state.host.id] = state.host
        for loading in record.loads.values():
            if loading.sent and loading.generation is not served:
                hosts[loading.host.id] = loading.host
        return list(hosts.values())

    def fence(self, host: Host, script: Script, epoch: Epoch) -> None:
        """Let the host start nothing older of this script."""
        self.fences.ordered(host.id, script, epoch, self.watched_s)
        self.step.out.append(Fence(host.id, script, epoch))

    # -- worth -----------------------------------------------------------------------

    def lived(self) -> float:
        """Return the time of this turn in half-lives, as heat is counted."""
        return self.fading.at(self.step.now)

    def gain_s(self, state: State) -> float:
        """Return the seconds that one use of a state saves."""
        record = state.record
        first = self.settings.broker.state_floor + record.load_s
        if state.wait_s <= 0.0:
            return first
        if record.states.index(state) < self.least_states(record):
            return first
        return min(first, state.wait_s)

    def rank(self, state: State) -> None:
        """Put a state where it belongs in the order of worth, if it may be a victim."""
        if not state.served or state.record.script in state.host.loads:
            return
        self.victims.put(state, key(state.heat, self.gain_s(state)))

    def served(self, state: State) -> None:
        """Note that a state has answered, or had time to: now it may be a victim."""
        state.served = True
        self.young.pop(state, None)
        self.rank(state)

    def worth_s(self, state: State) -> float:
        """Return the seconds of waiting that a ranked state saves in a half-life."""
        return worth(state.key, self.lived())

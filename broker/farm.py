"""The broker's tables and the elementary moves between them.

Everything that changes a row goes through here, so that the counts, the order of worth,
the watched files and what fronts were told always agree (`check`). What should happen
is decided in `broker.placement`, `broker.renewal` and `broker.machine`.
"""

from typing import Final

from broker.actions import Action, Drop, Fence, Keep, Load, Log, Tell
from broker.files import Files
from broker.heat import key
from broker.missing import Missing
from broker.policies import policy, pool_paths
from broker.quarantine import Quarantine
from broker.roster import Roster
from broker.tables import Generation, Host, Key, Loading, Record, State
from broker.victims import Victims
from broker.waits import Waits
from luafarm.messages import HostLost, HostUp, Place, ScriptError, Snapshot, Verdict
from luafarm.names import TERM_SHIFT, Epoch, Pool, Script
from luafarm.settings import Settings

MAX_DEPENDENCIES: Final = 4096
"""Files of one script that are watched; a script that reads more is renewed by the
first so many."""


class Farm:
    """Scripts, hosts, states, and what the fronts know of them."""

    def __init__(self, settings: Settings, term: int, memory_kib: int) -> None:
        self.settings = settings
        self.half_life = settings.broker.heat_half_life
        self.limit = settings.broker.states
        self.memory_limit_kib = memory_kib
        self.pools = pool_paths(settings)
        self.roster = Roster()
        self.files = Files(self.pools)
        self.missing = Missing(self.pools, self.files, settings.broker.missing)
        self.quarantine = Quarantine(settings.broker)
        self.victims = Victims()
        self.waits = Waits()
        self.records: dict[Script, Record] = {}
        #: scripts that have no state and wait for none: only their heat is remembered
        self.ghosts: dict[Script, None] = {}
        #: scripts that need a state and found no room or no host, in order of asking
        self.wanting: dict[Script, Record] = {}
        #: states that have not served yet, in order of loading
        self.young: dict[State, None] = {}
        #: pairs of script and host that have a state or get one
        self.taken = 0
        self.draining = 0
        self.kib = 0
        self.counts: dict[str, int] = {}
        #: fronts are told nothing before the broker knows what there is
        self.is_open = False
        self.out: list[Action] = []
        self.now = 0.0
        self.term = term
        self._number = 0
        self._serial = 0
        self._kept: dict[Script, None] = {}

    # -- small things ----------------------------------------------------------------

    def count(self, name: str, number: int = 1) -> None:
        """Count something that a test or an operator wants to know."""
        self.counts[name] = self.counts.get(name, 0) + number

    def log(self, level: str, text: str) -> None:
        """Have a line written to the log."""
        self.out.append(Log(level, text))

    def next_epoch(self) -> Epoch:
        """Return an epoch above every earlier one."""
        self._number += 1
        return Epoch(self.term << TERM_SHIFT | self._number)

    def seen_epoch(self, epoch: Epoch) -> None:
        """Count on above the epochs of an earlier broker."""
        if epoch >> TERM_SHIFT >= self.term:
            self.term = (epoch >> TERM_SHIFT) + 1
            self._number = 0

    # -- scripts ---------------------------------------------------------------------

    def record(self, pool: Pool, script: Script) -> Record:
        """Return the row of this script, made when there is none."""
        record = self.records.get(script)
        if record is None:
            mine = policy(self.settings, self.pools[pool], script)
            record = self.records[script] = Record(script, pool, mine, self.now)
        self.ghosts.pop(script, None)
        return record

    def is_unused(self, record: Record) -> bool:
        """Say whether nothing but its heat makes a script worth remembering."""
        return (
            not (record.states or record.loads or record.waiting)
            and record.failure is None
            and record.next is None
            and self.quarantine.remaining_s(record.script, self.now) <= 0.0
        )

    def cool(self, record: Record) -> None:
        """Keep nothing of a script but its heat, and that of a bounded number."""
        assert not (len(record.states) + len(record.loads) + len(record.waiting))
        record.current = None
        record.next = None
        record.failure = None
        self.keep(record, None)
        self.watch(record, {})
        record.told = None
        self.wanting.pop(record.script, None)
        self.ghosts.pop(record.script, None)
        self.ghosts[record.script] = None
        if len(self.ghosts) > max(1000, 4 * self.limit):
            oldest = next(iter(self.ghosts))
            del self.ghosts[oldest]
            del self.records[oldest]

    def rewatch(self, record: Record) -> None:
        """Watch all and only the files of the generations that the row holds."""
        wanted: dict[Key, bytes] = {}
        generations = [record.current, record.next]
        if record.failure is not None:
            generations.append(record.failure.generation)
        for generation in generations:
            if generation is None:
                continue
            wanted[record.pool, record.script] = generation.digest
            for dependency in generation.dependencies.values():
                if len(wanted) < MAX_DEPENDENCIES:
                    wanted.update(self.files.tried(record, dependency))
        self.watch(record, wanted)

    def watch(self, record: Record, wanted: dict[Key, bytes]) -> None:
        """Watch all and only these paths for the script, which saw these contents."""
        for path, digest in wanted.items():
            if path not in record.watched:
                self.files.use(path, record.script, digest, self.out)
        for path in record.watched:
            if path not in wanted:
                self.files.release(path, record.script, self.out)
        record.watched = dict.fromkeys(wanted)

    def keep(self, record: Record, generation: Generation | None) -> None:
        """Have the contents of this generation kept, or those of the script let go."""
        if generation is None:
            if record.script in self._kept:
                del self._kept[record.script]
                self.out.append(Keep(record.script, ()))
            return
        digests = {d.digest for d in generation.dependencies.values() if d.path}
        self._kept[record.script] = None
        self.out.append(Keep(record.script, (generation.digest, *sorted(digests))))

    # -- states ----------------------------------------------------------------------

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
            self.taken += 1
        else:
            self.victims.remove(old)
            if old.generation is generation:
                epoch = self.next_epoch()
        loading = Loading(record, host, generation, epoch, self.now)
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
        """Give the order for a load that stood in a backlog."""
        record = loading.record
        generation = loading.generation
        loading.sent = True
        loading.since = self.now
        self.count("loads")
        self.out.append(
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
            self.taken -= 1
        else:
            self.rank(old)
        if host.background is loading:
            host.background = None
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
        if state is not None:
            self.end(loading)
            state.generation = loading.generation
            state.epoch = loading.epoch
            state.loaded_at = self.now
            state.requests = 0
            self._weigh(state, kib)
            self.rank(state)
            return state
        self.end(loading)
        state = self.adopt(record, host, loading.generation, loading.epoch, kib)
        state.wait_s = loading.wait_s
        if loading.wait_s > 0.0:
            state.heat.add(loading.uses, self.now, self.half_life)
        else:
            state.heat.amount = max(1.0, record.heat.now(self.now, self.half_life))
        self.young[state] = None
        return state

    def adopt(
        self, record: Record, host: Host, generation: Generation, epoch: Epoch, kib: int
    ) -> State:
        """Put a state that a host holds into the tables."""
        self._serial += 1
        state = State(record, host, generation, epoch, self._serial, self.now)
        self.taken += 1
        record.states.append(state)
        host.states[record.script] = state
        self._weigh(state, kib)
        return state

    def _weigh(self, state: State, kib: int) -> None:
        self.kib += kib - state.kib
        state.kib = kib
        record = state.record
        record.kib = kib

    def lose(self, state: State) -> None:
        """Take a state that is gone, or ordered to close, off the tables."""
        record, host = state.record, state.host
        record.states.remove(state)
        del host.states[record.script]
        self.victims.remove(state)
        self.young.pop(state, None)
        self.kib -= state.kib
        if record.script not in host.loads:
            self.taken -= 1
        if record.states:
            self.rank(record.states[0])  # may have become the first

    def drop(self, state: State) -> None:
        """Order a state to close."""
        host, script = state.host, state.record.script
        self.lose(state)
        if script not in host.draining:
            self.draining += 1
        host.draining[script] = state.epoch
        self.out.append(Drop(host.id, script, state.epoch))

    def drained(self, host: Host, script: Script, epoch: Epoch) -> bool:
        """Note that a state is closed; return whether that had been ordered."""
        meant = host.draining.get(script)
        if meant is None or epoch > meant:
            return False
        del host.draining[script]
        self.draining -= 1
        return True

    def fence(self, host: Host, script: Script, epoch: Epoch) -> None:
        """Let the host start nothing older of this script."""
        self.waits.raised(host.id, script, epoch)
        self.out.append(Fence(host.id, script, epoch))

    # -- worth -----------------------------------------------------------------------

    def gain_s(self, state: State) -> float:
        """Return the seconds that one use of a state saves."""
        record = state.record
        first = self.settings.broker.state_floor + record.load_s
        rank = record.states.index(state)
        if rank < record.policy.min_clones or state.wait_s <= 0.0:
            return first
        return min(first, state.wait_s)

    def rank(self, state: State) -> None:
        """Put a state where it belongs in the order of worth, if it may be a victim."""
        if not state.served or state.record.script in state.host.loads:
            return
        size = float(max(state.kib, 1)) if self.memory_limit_kib else 1.0
        self.victims.put(
            state, key(state.heat, self.gain_s(state), size, self.half_life)
        )

    # -- what fronts know ------------------------------------------------------------

    def servable(self, record: Record) -> list[State]:
        """Return the states of the generation that is served, in hunting order."""
        return [s for s in record.states if s.generation is record.current]

    def place(self, record: Record, asked: bytes) -> Place:
        """Return what fronts are to know of a script that can be served."""
        return Place(
            asked=asked,
            script=record.script,
            pool=record.pool,
            verdict=Verdict.READY,
            epoch=record.current.epoch if record.current is not None else Epoch(0),
            hosts=tuple([s.host.id for s in self.servable(record)]),
            wall_ms=record.policy.limits.wall_ms,
            retry_after_s=0,
            error=None,
        )

    def publish(self, record: Record) -> None:
        """Tell all fronts where a script is served, and answer those that wait."""
        place = self.place(record, b"")
        told = (int(place.verdict), place.hosts, place.epoch)
        if told != record.told:
            record.told = told
            self.tell(place)
        if place.hosts and record.waiting:
            self.answer(record, place)

    def refuse(
        self,
        record: Record,
        verdict: Verdict,
        error: ScriptError | None,
        after_s: float,
    ) -> None:
        """Tell all fronts why a script is not served, and answer those that wait."""
        place = self.unserved(record.script, record.pool, verdict, error, after_s)
        record.told = (int(verdict), (), Epoch(0))
        self.tell(place)
        self.answer(record, place)

    def unserved(
        self,
        script: Script,
        pool: Pool,
        verdict: Verdict,
        error: ScriptError | None = None,
        after_s: float = 0.0,
    ) -> Place:
        """Return what fronts are to know of a path that is not served."""
        retry_after_s = int(after_s) + 1 if verdict == Verdict.REFUSED else 0
        return Place(b"", script, pool, verdict, Epoch(0), (), 0, retry_after_s, error)

    def forget_place(self, script: Script, pool: Pool) -> None:
        """Let fronts ask again when they need this path."""
        self.tell(self.unserved(script, pool, Verdict.READY))

    def answer(self, record: Record, place: Place) -> None:
        """Answer all fronts that wait for this script."""
        for front, asked in record.waiting:
            self.reply(front, asked, place)
        record.waiting.clear()
        record.idle = ()
        self.wanting.pop(record.script, None)

    def reply(self, front: bytes, asked: bytes, place: Place) -> None:
        """Answer one front."""
        if not asked:
            return  # a preload: nobody asked
        self.count("answers")
        self.out.append(
            Tell(
                front,
                Place(
                    asked,
                    place.script,
                    place.pool,
                    place.verdict,
                    place.epoch,
                    place.hosts,
                    place.wall_ms,
                    place.retry_after_s,
                    place.error,
                ),
            )
        )

    def tell(self, message: Place | HostUp | HostLost) -> None:
        """Tell all fronts."""
        if self.is_open:
            self.out.append(Tell(b"", message))

    def snapshot(self) -> Snapshot:
        """Return all that a front must know."""
        places = [self.place(r, b"") for r in self.records.values() if self.servable(r)]
        return Snapshot(
            tuple([host.up for host in self.roster.hosts.values()]), tuple(places)
        )

    # -- invariants ------------------------------------------------------------------

    def check(self) -> None:
        """Raise AssertionError if the tables disagree with each other."""
        self.victims.check()
        self.roster.check()
        taken = kib = draining = 0
        for host in self.roster.hosts.values():
            taken += len(host.states.keys() | host.loads.keys())
            draining += len(host.draining)
            assert host.background is None or host.background.sent, host.id
            for script, state in host.states.items():
                assert state in self.records[script].states, (host.id, script)
                kib += state.kib
            for script, loading in host.loads.items():
                assert self.records[script].loads[host.id] is loading, (host.id, script)
        assert (taken, kib, draining) == (self.taken, self.kib, self.draining)
        assert self.taken <= self.limit, (self.taken, self.limit)
        for script, record in self.records.items():
            self._check_record(script, record)
        watched = {s: r.watched for s, r in self.records.items() if r.watched}
        self.files.check({**watched, **self.missing.watched()})

    def _check_record(self, script: Script, record: Record) -> None:
        hosts = {s.host.id for s in record.states} | set(record.loads)
        assert len(hosts) <= record.policy.clones, script
        for state in record.states:
            assert state.host.states[script] is state, script
            may_go = state.served and script not in state.host.loads
            assert (state.position >= 0) == may_go, (script, state.host.id)
        if record.states:
            assert record.watched, script
        if script in self.ghosts:
            assert not len(record.states) + len(record.loads), script
            assert not record.waiting, script
            assert not record.watched, script
        if record.told is not None and record.told[1]:
            told = record.told[1]
            assert set(told) <= {s.host.id for s in self.servable(record)}, script

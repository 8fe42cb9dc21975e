"""The broker's decisions: one event in, the actions it calls for out.

`handle` dispatches; the tables are in `broker.farm`, rooms and hosts are chosen in
`broker.placement`, generations live in `broker.renewal`. Here is what happens to hosts
and fronts, and the beginning: a broker that starts listens to the farm first, adopts
the states that the hosts hold, and only then tells fronts anything.
"""

from collections import deque
from typing import Final, assert_never

from broker.actions import Action, Drop, Forget, Kill, Tell
from broker.events import (
    Accused,
    Changed,
    Event,
    FenceRaised,
    Found,
    FrontJoined,
    FrontLeft,
    HostJoined,
    HostLeft,
    Inventoried,
    LoadFailed,
    MachineReported,
    Missed,
    Preloaded,
    Pressed,
    Reported,
    StateGone,
    StateLoaded,
    Ticked,
)
from broker.farm import Farm
from broker.placement import Placement
from broker.quarantine import BUDGET_WEIGHT, EXHAUSTING
from broker.renewal import EMPTY, Renewal
from broker.resolve import pool_of
from broker.roster import QUICK_S, SLOW_S
from broker.tables import QUICK, SLOW, Generation, Host, Record, State
from luafarm.messages import (
    HostLost,
    StateRow,
    UseRow,
    Verdict,
)
from luafarm.names import HostId, Pool, RequestId, Script
from luafarm.names import Machine as MachineName
from luafarm.settings import Settings

MACHINE_SILENCE_S: Final = 5.0
FRONT_SILENCE_S: Final = 10.0
WAITING_S: Final = 60.0
"""A `Miss` not answered for so long is refused; its front gave up before."""

_MAX_WAITING: Final = 100_000
_QUIET_S: Final = 0.25  # of the takeover time without news from hosts: all have spoken
_STORY: Final = 256
_HOT_RATE: Final = 0.1  # requests per second

_NO_FAULT: Final = frozenset({"stopped", "recycled", "dropped", "replaced"})


class Front:
    """A front and what it last told about itself."""

    def __init__(self, heard_at: float) -> None:
        self.heard_at = heard_at
        self.gauges: dict[str, int] = {}


class Machine:
    """Owns the farm's tables. Change them only through `handle`."""

    def __init__(
        self,
        settings: Settings,
        term: int,
        now: float,
        *,
        cores: int = 0,
        memory_kib: int = 0,
    ) -> None:
        self.farm = Farm(settings, term, memory_kib)
        self.farm.now = now
        self._placement = Placement(self.farm, cores)
        self._renewal = Renewal(self.farm, self._placement)
        self._settings = settings
        self.fronts: dict[bytes, Front] = {}
        #: when each supervisor was heard last
        self.machines: dict[MachineName, float] = {}
        self._opens_at = now + settings.broker.takeover
        self._news_at = now
        self._early: list[Missed | Preloaded] = []
        self._waiting = 0
        self._ages: deque[tuple[float, State]] = deque()
        #: what happened last, for the log when something goes wrong
        self.story: deque[tuple[float, Event, list[Action]]] = deque(maxlen=_STORY)

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take one event; return what must be done, in order."""
        farm = self.farm
        farm.now = now
        out: list[Action] = []
        farm.out = out
        self._dispatch(event)
        if farm.wanting:
            self._placement.retry()
        if not farm.is_open:
            self._open_if_due()
        self.story.append((now, event, out))
        return out

    def _dispatch(self, event: Event) -> None:  # noqa: C901 - one row each
        match event:
            case Reported():
                self._reported(event)
            case Missed():
                self._missed(event)
            case Pressed():
                self._placement.clone(event)
            case StateLoaded():
                self._renewal.loaded(event)
            case StateGone():
                self._state_gone(event)
            case LoadFailed():
                self._renewal.failed(event)
            case FenceRaised():
                self._fenced(event)
            case Changed():
                self._changed(event)
            case MachineReported():
                self._machine_reported(event)
            case HostJoined():
                self._host_joined(event)
            case Inventoried():
                self._inventoried(event)
            case HostLeft():
                self._host_left(event)
            case Accused():
                self._accused(event)
            case FrontJoined():
                self._front_joined(event)
            case FrontLeft():
                self._front_left(event.front)
            case Preloaded():
                self._preloaded(event)
            case Ticked():
                self._ticked()
            case _:
                assert_never(event)

    # -- requests without a state ----------------------------------------------------

    def _missed(self, event: Missed) -> None:
        farm = self.farm
        if not farm.is_open:
            if len(self._early) < _MAX_WAITING:
                self._early.append(event)
            return
        farm.count("misses")
        found = event.found
        if found is None or found.digest == EMPTY:
            self._missing(event)
            return
        record = self._found(found)
        refused_s = farm.quarantine.remaining_s(found.script, farm.now)
        failure = record.failure
        if refused_s > 0.0:
            place = farm.unserved(
                record.script, record.pool, Verdict.REFUSED, None, refused_s
            )
            farm.reply(event.front, event.asked, place)
        elif farm.servable(record):
            farm.reply(event.front, event.asked, farm.place(record, b""))
        elif failure is not None and record.current is None and record.next is None:
            place = farm.unserved(
                record.script, record.pool, Verdict.BROKEN, failure.error
            )
            farm.reply(event.front, event.asked, place)
        else:
            self._wait(record, event)

    def _missing(self, event: Missed) -> None:
        farm = self.farm
        place = farm.unserved(
            Script(event.asked), self._pool_of(event), Verdict.MISSING
        )
        farm.reply(event.front, event.asked, place)
        for asked in farm.missing.remember(event.asked, farm.out):
            farm.forget_place(Script(asked), place.pool)
        record = farm.records.get(Script(event.asked))
        if record is not None and record.watched and event.found is None:
            # gone before the watcher said so
            farm.files.set((record.pool, record.script), b"", "")
            self._renewal.review(record)

    def _pool_of(self, event: Missed) -> Pool:
        where = pool_of(self.farm.pools.values(), event.asked)
        return where[0].pool if where is not None else Pool("")

    def _found(self, found: Found) -> Record:
        """Return the row of a script that is there, with a generation to be loaded."""
        farm = self.farm
        record = farm.record(found.pool, found.script)
        if record.current is None and record.next is None and record.failure is None:
            record.next = Generation(farm.next_epoch(), found.digest)
            farm.rewatch(record)
            farm.files.set((found.pool, found.script), found.digest, found.error)
        return record

    def _wait(self, record: Record, event: Missed) -> None:
        farm = self.farm
        if self._waiting >= _MAX_WAITING:
            place = farm.unserved(record.script, record.pool, Verdict.REFUSED)
            farm.reply(event.front, event.asked, place)
            return
        record.waiting.setdefault((event.front, event.asked), farm.now)
        record.idle = event.idle
        self._renewal.tend(record)

    def _preloaded(self, event: Preloaded) -> None:
        if not self.farm.is_open:
            if len(self._early) < _MAX_WAITING:
                self._early.append(event)
            return
        if event.found.digest != EMPTY:
            self._renewal.tend(self._found(event.found))

    # -- reports ---------------------------------------------------------------------

    def _reported(self, event: Reported) -> None:
        farm = self.farm
        front = self.fronts.get(event.front)
        if front is not None:
            front.heard_at = farm.now
            front.gauges = dict(event.report.gauges)
        for row in event.report.uses:
            self._used(row)

    def _used(self, row: UseRow) -> None:
        farm = self.farm
        record = farm.records.get(row.script)
        host = farm.roster.hosts.get(row.host)
        if record is None or row.requests <= 0:
            return
        busy_s = row.busy_us / 1e6
        at = farm.now - min(max(row.last_us, 0) / 1e6, 10.0)
        record.requests += row.requests
        record.errors += row.errors
        record.heat.add(float(row.requests), at, farm.half_life)
        record.waits.add(row.waited_us / 1e6, at, farm.half_life)
        mean_s = busy_s / row.requests
        weight = 1.0 - 0.8 ** min(row.requests, 50)
        first = record.service_s <= 0.0
        record.service_s += (mean_s - record.service_s) * (1.0 if first else weight)
        if host is not None:
            farm.roster.worked(host, busy_s, farm.now)
            state = host.states.get(row.script)
            if state is not None:
                self._state_used(state, row, at)
        self._review_lane(record)

    def _state_used(self, state: State, row: UseRow, at: float) -> None:
        farm = self.farm
        record = state.record
        state.heat.add(float(row.requests), at, farm.half_life)
        state.requests += row.requests
        if not state.served:
            state.served = True
            farm.young.pop(state, None)
        farm.rank(state)
        limit = record.policy.state_requests
        if limit and state.requests >= limit:
            self._recycle(state)

    def _review_lane(self, record: Record) -> None:
        if record.lane == QUICK and record.service_s > SLOW_S:
            self.farm.roster.count_slow(record.pool, 1)
            self._placement.relane(record, SLOW)
        elif record.lane == SLOW and record.service_s < QUICK_S:
            self.farm.roster.count_slow(record.pool, -1)
            self._placement.relane(record, QUICK)

    def _recycle(self, state: State) -> None:
        """Renew a state because of its age or use, one of a script at a time."""
        record = state.record
        if record.loads or record.next is not None or record.current is None:
            return
        if state.generation is record.current:
            self.farm.count("recycled_states")
            self.farm.begin(record, state.host, record.current, background=True)

    # -- hosts -----------------------------------------------------------------------

    def _host_joined(self, event: HostJoined) -> None:
        farm = self.farm
        up = event.up
        self.machines[up.machine] = farm.now
        if up.host in farm.roster.hosts or up.pool not in farm.pools:
            return
        self._news_at = farm.now
        farm.roster.join(up, farm.now)
        farm.tell(up)

    def _inventoried(self, event: Inventoried) -> None:
        farm = self.farm
        host = farm.roster.hosts.get(event.host)
        if host is None:
            return
        self._news_at = farm.now
        for row in event.states:
            farm.seen_epoch(row.epoch)
        if not host.is_known:
            farm.roster.ready(host)
        told = {row.script for row in event.states}
        for script in [s for s in host.loads if s not in told]:
            self._lose_load(host, script)
        for script in [s for s in host.states if s not in told]:
            self._lose_state(host.states[script])
        for row in event.states:
            if row.script not in host.states and row.script not in host.loads:
                self._adopt(host, row)
        if farm.is_open:
            self._top_up_all(event.states)

    def _adopt(self, host: Host, row: StateRow) -> None:
        """Take over a state that the host holds, of whatever age it is."""
        farm = self.farm
        root = farm.pools[host.pool].root_of(row.script)
        known = farm.records.get(row.script)
        if (
            root is None
            or farm.taken >= farm.limit
            or (known is not None and known.pool != host.pool)
            or (
                known is not None
                and len(known.states) + len(known.loads) >= known.policy.clones
            )
        ):
            farm.count("unwanted_states")
            farm.out.append(Drop(host.id, row.script, row.epoch))
            return
        record = farm.record(host.pool, row.script)
        generation = Generation(row.epoch, row.digest)
        for dependency in row.dependencies:
            generation.dependencies[int(dependency.kind), dependency.name] = dependency
        current = record.current
        if current is None:
            record.current = generation
        elif _is_same(current, generation):
            # the same content, whatever it was called: fronts may use either
            current.dependencies.update(generation.dependencies)
            current.epoch = min(current.epoch, generation.epoch)
            generation = current
        elif generation.epoch > current.epoch and not farm.is_open:
            record.current = generation
        farm.rewatch(record)
        state = farm.adopt(record, host, generation, row.epoch, row.kib)
        record.load_s = row.load_us / 1e6
        state.requests = row.requests
        state.served = True
        rate = row.requests / max(row.age_ms / 1000.0, 1.0)
        state.heat.add(rate * farm.half_life, farm.now, farm.half_life)
        record.heat.add(rate * farm.half_life, farm.now, farm.half_life)
        farm.rank(state)
        farm.count("adopted_states")

    def _top_up_all(self, rows: tuple[StateRow, ...]) -> None:
        for row in rows:
            record = self.farm.records.get(row.script)
            if record is not None and record.states:
                self.farm.publish(record)
                self._renewal.tend(record)

    def _host_left(self, event: HostLeft) -> None:
        lost = event.lost
        if lost.script and lost.reason not in _NO_FAULT:
            self._blame(lost.script, 1.0, f"host={lost.host} died: {lost.reason}")
        self._lose_host(lost)

    def _lose_host(self, lost: HostLost) -> None:
        farm = self.farm
        host = farm.roster.hosts.get(lost.host)
        if host is None:
            return
        farm.count("hosts_lost")
        farm.roster.leave(host)
        farm.draining -= len(host.draining)
        host.draining.clear()
        farm.tell(lost)
        farm.out.append(Forget(host.id))
        host.backlog.clear()
        records = [state.record for state in host.states.values()]
        hot = {r.script for r in records if self._is_hot(r)}
        for loading in list(host.loads.values()):
            farm.end(loading)
            records.append(loading.record)
        for state in list(host.states.values()):
            farm.lose(state)
        for record in records:
            farm.publish(record)
            if record.script in hot and not record.states and not record.loads:
                self._rebuild(record)
            self._renewal.tend(record)
        for script in farm.waits.lost(host.id):
            self._renewal.answer_waits(script)

    def _is_hot(self, record: Record) -> bool:
        """Say whether a script is used so often that it is loaded again unasked."""
        farm = self.farm
        rate = record.heat.now(farm.now, farm.half_life) / farm.half_life
        return rate > _HOT_RATE

    def _rebuild(self, record: Record) -> None:
        farm = self.farm
        if farm.quarantine.remaining_s(record.script, farm.now) > 0.0:
            return
        generation = record.next or record.current
        if generation is not None and not record.waiting:
            self._placement.place(record, generation)

    def _lose_state(self, state: State) -> None:
        self.farm.lose(state)
        self.farm.publish(state.record)
        self._renewal.tend(state.record)

    def _lose_load(self, host: Host, script: Script) -> None:
        loading = host.loads[script]
        if loading.sent:
            self.farm.end(loading)
            self._renewal.tend(loading.record)

    def _state_gone(self, event: StateGone) -> None:
        farm = self.farm
        host = farm.roster.hosts.get(event.host)
        if host is None or farm.drained(host, event.script, event.epoch):
            return
        loading = host.loads.get(event.script)
        if loading is not None and loading.sent and loading.epoch == event.epoch:
            farm.count("lost_loads")
            self._lose_load(host, event.script)
            return
        state = host.states.get(event.script)
        if state is None or state.epoch != event.epoch or event.reason == "replaced":
            return  # "replaced": `StateLoaded` of the new one follows
        farm.count("lost_states")
        if event.reason not in _NO_FAULT:
            state.record.last_eviction = event.reason
        if event.reason in EXHAUSTING:
            self._blame(event.script, BUDGET_WEIGHT, f"budget={event.reason} exceeded")
            if host.states.get(event.script) is not state:
                return
        self._lose_state(state)

    def _blame(self, script: Script, weight: float, why: str) -> None:
        """Count against a script what it did; refuse it when that was too often."""
        farm = self.farm
        record = farm.records.get(script)
        if record is None or not farm.quarantine.blame(script, weight, farm.now):
            return
        after_s = farm.quarantine.remaining_s(script, farm.now)
        farm.log(
            "error",
            f"script={script!r} is refused for {after_s:.0f} s: {why}; "
            "see [broker] quarantine_deaths",
        )
        for loading in list(record.loads.values()):
            if not loading.sent:
                farm.end(loading)
        for state in list(record.states):
            farm.drop(state)
        farm.refuse(record, Verdict.REFUSED, None, after_s)

    def _accused(self, event: Accused) -> None:
        host = self.farm.roster.hosts.get(event.host)
        if host is not None:
            self.farm.count("accusations")
            self.farm.out.append(Kill(host.up.machine, host.id, event.why))

    def _fenced(self, event: FenceRaised) -> None:
        if self.farm.waits.confirmed(event.host, event.script, event.epoch):
            self._renewal.answer_waits(event.script)

    def _changed(self, event: Changed) -> None:
        self._renewal.changed(event)

    def _machine_reported(self, event: MachineReported) -> None:
        farm = self.farm
        self.machines[event.machine] = farm.now
        for row in event.report.hosts:
            host = farm.roster.hosts.get(row.host)
            if host is not None:
                host.requests = row.requests
                host.rss_kib = row.rss_kib
                host.running = row.running
        # a supervisor that was started anew does not know its predecessor's hosts
        named = {row.host for row in event.report.hosts}
        for host in list(farm.roster.hosts.values()):
            if host.up.machine == event.machine and host.id not in named:
                self._lose_unheard(host.id, "its supervisor no longer has it")

    # -- fronts ----------------------------------------------------------------------

    def _front_joined(self, event: FrontJoined) -> None:
        front = self.fronts.setdefault(event.front, Front(self.farm.now))
        front.heard_at = self.farm.now
        if self.farm.is_open:
            self.farm.out.append(Tell(event.front, self.farm.snapshot()))

    def _front_left(self, name: bytes) -> None:
        self.fronts.pop(name, None)

    # -- time ------------------------------------------------------------------------

    def _ticked(self) -> None:
        farm = self.farm
        self._placement.grow_up()
        silent = farm.now - MACHINE_SILENCE_S
        for machine, heard_at in list(self.machines.items()):
            if heard_at < silent:
                self._lose_machine(machine)
        for name, front in list(self.fronts.items()):
            if front.heard_at < farm.now - FRONT_SILENCE_S:
                self._front_left(name)
        self._renew_refused()

    def _lose_machine(self, machine: MachineName) -> None:
        farm = self.farm
        del self.machines[machine]
        farm.log("warning", f"machine={machine} is silent; its VM hosts count as lost")
        hosts = [h for h in farm.roster.hosts.values() if h.up.machine == machine]
        for host in hosts:
            self._lose_unheard(host.id, "no heartbeat of its supervisor")

    def _lose_unheard(self, host: HostId, detail: str) -> None:
        self._lose_host(HostLost(host, RequestId(0), (), Script(b""), "silent", detail))

    def _renew_refused(self) -> None:
        """Let fronts ask again for what was refused or broken, when it is time."""
        farm = self.farm
        for record in [r for r in farm.records.values() if r.failure is not None]:
            self._renewal.retry(record)

    def _open_if_due(self) -> None:
        """End the beginning when all hosts have told what they hold, or it is late."""
        farm = self.farm
        hosts = farm.roster.hosts.values()
        quiet_s = self._settings.broker.takeover * _QUIET_S
        if farm.now < self._opens_at and (
            not hosts
            or not all(h.is_known for h in hosts)
            or farm.now < self._news_at + quiet_s
        ):
            return
        farm.is_open = True
        for name in self.fronts:
            farm.out.append(Tell(name, farm.snapshot()))
        for record in list(farm.records.values()):
            if record.states:
                farm.publish(record)
                self._renewal.tend(record)
        early, self._early = self._early, []
        for event in early:
            if isinstance(event, Missed):
                self._missed(event)
            else:
                self._preloaded(event)

    def check(self) -> None:
        """Raise AssertionError if the tables disagree with each other."""
        self.farm.check()


def _is_same(one: Generation, other: Generation) -> bool:
    """Say whether two generations have the same content, as far as both are known."""
    return one.digest == other.digest and all(
        one.dependencies.get(name, dependency) == dependency
        for name, dependency in other.dependencies.items()
    )

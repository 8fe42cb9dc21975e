"""The broker's decisions: one event in, the actions it calls for out.

`handle` dispatches to the parts that decide: rooms and hosts for states
(`broker.allocation`), generations (`broker.renewal`), hosts that come and go
(`broker.census`), replacement (`broker.recycling`). All work on one `Farm`. Here are
the questions and reports of fronts, and the beginning: a broker that starts listens to
the farm first, takes over what the hosts hold, and only then tells fronts anything.
"""

# Compiled.

from typing import Final, assert_never

from broker import invariants
from broker.actions import Action, Tell
from broker.allocation import Allocation
from broker.census import Census
from broker.convergence import EMPTY, Convergence
from broker.events import (
    Accused,
    Changed,
    Event,
    FenceRaised,
    FileNow,
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
    Realigned,
    Reported,
    StateGone,
    StateLoaded,
    SupervisorChanged,
    Ticked,
)
from broker.farm import Farm
from broker.recycling import Recycling
from broker.renewal import Renewal
from broker.resolve import pool_of
from broker.step import Step
from broker.story import Story
from broker.suspicion import Suspicion
from broker.tables import Generation, Key, Record, State
from luafarm.config.settings import Settings
from luafarm.names import Pool, Script
from luafarm.wire.messages import UseRow, Verdict

FRONT_SILENCE_S: Final = 10.0

_MOST_EARLY: Final = 10_000  # questions that wait for the end of the beginning
_QUIET: Final = 0.25  # of the takeover time without news from hosts: all have spoken
_MOST_AGO_S: Final = 10.0  # a report tells of its own time only


class Front:
    """A front and what it last told about itself."""

    def __init__(self, heard_at: float) -> None:
        self.heard_at = heard_at
        self.gauges: dict[str, int] = {}


class Broker:
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
        self._step = Step(now)
        self.farm = Farm(settings, self._step, term, memory_kib)
        self.allocation = Allocation(self.farm, cores)
        self._recycling = Recycling(self.farm, self.allocation)
        convergence = self._convergence = Convergence(self.farm, self.allocation)
        suspicion = self._suspicion = Suspicion(self.farm)
        self._renewal = Renewal(
            self.farm, self.allocation, self._recycling, convergence, suspicion
        )
        self.census = Census(
            self.farm, self.allocation, convergence, self._recycling, suspicion
        )
        self.fronts: dict[bytes, Front] = {}
        self._takeover_s = settings.broker.takeover
        self._opens_at = now + self._takeover_s
        self._early: list[Missed | Preloaded] = []
        self.story = Story()

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take one event; return what must be done, in order.

        now: monotonic seconds, never decreasing.
        """
        out = self._step.begin(now)
        self.story.begin((now, event, out))
        self._dispatch(event)
        self.allocation.retry()
        if not self.farm.bulletin.is_open:
            self._open_if_due()
        return out

    def _dispatch(self, event: Event) -> None:  # noqa: C901 - one row each
        match event:
            case Reported():
                self._reported(event)
            case Missed():
                self._missed(event)
            case Pressed():
                self._pressed(event)
            case StateLoaded():
                self._renewal.loaded(event)
            case StateGone():
                self.census.gone(event)
            case LoadFailed():
                self._renewal.failed(event)
            case FenceRaised():
                self._fenced(event)
            case Changed():
                self._renewal.changed(event)
            case MachineReported():
                self._machine_reported(event)
            case SupervisorChanged():
                self.census.meet(event.machine)
            case HostJoined():
                self.census.joined(event)
            case Inventoried():
                self.census.inventoried(event)
            case HostLeft():
                self.census.left(event.lost)
            case Accused():
                self.census.accused(event)
            case FrontJoined():
                self._front_joined(event.front)
            case FrontLeft():
                self.fronts.pop(event.front, None)
            case Preloaded():
                self._preloaded(event)
            case Realigned(aliases):
                self.farm.bulletin.realign(aliases)
            case Ticked():
                self._ticked()
            case _:
                assert_never(event)

    # -- requests without a state ----------------------------------------------------

    def _missed(self, event: Missed) -> None:
        farm = self.farm
        if not farm.bulletin.is_open:
            if len(self._early) < _MOST_EARLY:
                self._early.append(event)
            return
        self._step.count("misses")
        found = event.found
        if found is not None and not found.is_whole and not self._is_served(found):
            place = farm.bulletin.unserved(found.script, found.pool, Verdict.REFUSED)
            farm.bulletin.reply(event.front, event.asked, place)
            return
        if found is None or (found.digest == EMPTY and not self._is_kept(found)):
            self._missing(event, found)
            return
        refused_s = farm.quarantine.remaining_s(found.script, self._step.now)
        if refused_s > 0.0:
            place = farm.bulletin.unserved(
                found.script, found.pool, Verdict.REFUSED, None, refused_s
            )
            farm.bulletin.reply(event.front, event.asked, place)
            return
        # it was missing until now, and the watcher has not said so yet
        self._renewal.passed(found.script)
        if event.asked in farm.missing:
            farm.missing.forget(event.asked, self._step.out)
            farm.bulletin.forget(Script(event.asked))
        record = self._found(found)
        failure = record.failure
        if record.current is not None and farm.bulletin.servable(record):
            place = farm.bulletin.ready(record)
            farm.bulletin.reply(event.front, event.asked, place)
        elif failure is not None and record.current is None and record.next is None:
            place = farm.bulletin.unserved(
                record.script, record.pool, Verdict.BROKEN, failure.error
            )
            farm.bulletin.reply(event.front, event.asked, place)
        else:
            self._owe(record, event)

    def _is_served(self, found: Found) -> bool:
        """Say whether a script has states, whatever its file is now."""
        record = self.farm.records.get(found.script)
        return record is not None and record.current is not None

    def _is_kept(self, found: Found) -> bool:
        """Say whether a script is served although its file was emptied."""
        record = self.farm.records.get(found.script)
        return record is not None and self._renewal.has_last_good(record)

    def _missing(self, event: Missed, found: Found | None) -> None:
        farm = self.farm
        where = pool_of(farm.pools.values(), event.asked)
        pool = where[0].pool if where is not None else Pool("")
        record = farm.records.get(Script(event.asked))
        is_owed = True
        if record is not None and record.watched and found is None:
            # gone before the watcher has said so; that answers all who wait
            is_owed = (event.front, event.asked) not in record.askers
            self._renewal.learn((FileNow(record.pool, record.script, b""),), None)
        if is_owed:
            place = farm.bulletin.unserved(Script(event.asked), pool, Verdict.MISSING)
            farm.bulletin.reply(event.front, event.asked, place)
        barrier = event.barrier
        for asked in farm.missing.remember(event.asked, barrier, self._step.out):
            farm.bulletin.forget(Script(asked))

    def _found(self, found: Found) -> Record:
        """Return the row of a script that is there, with a generation to be loaded."""
        farm = self.farm
        record = farm.record(found.pool, found.script)
        if record.current is None and record.next is None and record.failure is None:
            if record.digest and record.digest != found.digest:
                farm.restraint.pardon(record.script)  # changed while nobody looked
            record.next = Generation(farm.epochs.next(), found.digest)
            farm.following.rewatch(record)
            now = FileNow(found.pool, found.script, found.digest, found.error)
            self._renewal.learn((now,), record)
        return record

    def _owe(self, record: Record, event: Missed) -> None:
        farm = self.farm
        if not farm.bulletin.owe(record, event.front, event.asked):
            place = farm.bulletin.unserved(record.script, record.pool, Verdict.REFUSED)
            farm.bulletin.reply(event.front, event.asked, place)
            return
        record.idle = event.idle
        self._convergence.tend(record)

    def _preloaded(self, event: Preloaded) -> None:
        if not self.farm.bulletin.is_open:
            if len(self._early) < _MOST_EARLY:
                self._early.append(event)
            return
        if event.found.digest != EMPTY:
            self._convergence.tend(self._found(event.found))

    def _pressed(self, event: Pressed) -> None:
        if self.farm.bulletin.is_open:
            self.allocation.clone(event)

    # -- reports ---------------------------------------------------------------------

    def _reported(self, event: Reported) -> None:
        front = self.fronts.get(event.front)
        if front is not None:
            front.heard_at = self._step.now
            front.gauges = dict(event.report.gauges)
        for row in event.report.uses:
            if row.requests > 0:
                self._used(row)
        for stop in event.report.stops:
            self.census.stopped(stop)

    def _used(self, row: UseRow) -> None:
        farm = self.farm
        record = farm.records.get(row.script)
        if record is None:
            return
        requests = float(row.requests)
        busy_s = row.busy_us / 1e6
        at = self._step.now - min(max(row.last_us, 0) / 1e6, _MOST_AGO_S)
        record.requests += row.requests
        record.errors += row.errors
        record.heat.add(requests, farm.fading.at(at))
        record.waited.add(row.waited_us / 1e6, farm.fading.at(at))
        weight = 1.0 - 0.8 ** min(requests, 50.0)
        if record.service_s <= 0.0:
            weight = 1.0
        record.service_s += (busy_s / requests - record.service_s) * weight
        host = farm.roster.hosts.get(row.host)
        if host is not None:
            farm.roster.worked(host, busy_s, self._step.now)
            state = host.states.get(row.script)
            if state is not None:
                self._state_used(state, row, at)
        self.allocation.review_lane(record)

    def _state_used(self, state: State, row: UseRow, at: float) -> None:
        farm = self.farm
        state.heat.add(float(row.requests), farm.fading.at(at))
        state.requests += row.requests
        farm.served(state)
        self._recycling.served(state)

    def _machine_reported(self, event: MachineReported) -> None:
        named = frozenset([row.host for row in event.report.hosts])
        self.census.reported(event.machine, named)
        for row in event.report.hosts:
            host = self.farm.roster.hosts.get(row.host)
            if host is not None and host.up.machine == event.machine:
                host.requests = row.requests
                host.rss_kib = row.rss_kib
                script = Script(row.running)
                record = self.farm.records.get(script)
                is_given = record is not None and host.has(record)
                host.running = script if is_given else b""
                self._recycling.review(host)

    def _fenced(self, event: FenceRaised) -> None:
        fences = self.farm.fences
        is_ordered = fences.is_owed(event.host, event.script)
        if fences.confirm(event.host, event.script, event.epoch):
            self._convergence.answer_tickets(event.script)
        host = self.farm.roster.hosts.get(event.host)
        if host is None:
            return
        state = host.states.get(event.script)
        if state is None and not is_ordered:
            self._suspicion.allows_unordered(host, "the confirmation of a fence")
        if state is None or state.epoch >= event.epoch:
            return
        if state.generation is state.record.current:
            self._renewal.doubt(state, event.epoch)

    # -- fronts ----------------------------------------------------------------------

    def _front_joined(self, front: bytes) -> None:
        self.fronts[front] = Front(self._step.now)
        if self.farm.bulletin.is_open:
            self._step.out.append(Tell(front, self.farm.bulletin.snapshot()))

    # -- time ------------------------------------------------------------------------

    def _ticked(self) -> None:
        self.allocation.grow_up()
        self.allocation.top_up_short()
        self._suspicion.tick()
        self.census.tick()
        self.census.release()
        self._recycling.tick()
        self._convergence.retry()
        for record in self.farm.bulletin.expire():
            self._convergence.tend(record)
        for name, front in list(self.fronts.items()):
            if front.heard_at < self._step.now - FRONT_SILENCE_S:
                del self.fronts[name]

    def _open_if_due(self) -> None:
        """End the beginning when all hosts have told what they hold, or it is late."""
        farm = self.farm
        if self._step.now < self._opens_at:
            if not farm.roster.hosts or farm.roster.unknown:
                return
            if self._step.now < self.census.news_at + self._takeover_s * _QUIET:
                return
        farm.bulletin.is_open = True
        for record in list(farm.records.values()):
            farm.bulletin.publish(record)
            self._convergence.tend(record)
        for name in self.fronts:
            self._step.out.append(Tell(name, farm.bulletin.snapshot()))
        early, self._early = self._early, []
        for event in early:
            if isinstance(event, Missed):
                self._missed(event)
            else:
                self._preloaded(event)

    def is_single(self, key: Key) -> bool:
        """Say whether no script that uses this file is made of others as well."""
        files = self.farm.files
        return all(
            files.are_few(self.farm.records[user].watched) for user in files.users(key)
        )

    def check(self) -> None:
        """Raise AssertionError if the tables disagree with each other."""
        invariants.check(self.farm)

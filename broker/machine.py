"""The broker's decisions: one event in, the actions it calls for out.

`handle` dispatches to the parts that decide: questions of fronts (`broker.misses`),
generations (`broker.renewal`) and the loads that they cost (`broker.loads`), hosts that
come and go (`broker.census`, `broker.adoption`), replacement (`broker.recycling`), what
scripts answer for (`broker.liability`). All work on one `Farm`, and leave to
`broker.convergence` and `broker.allocation` which state is loaded where.

Here are reports, and the beginning: a broker that starts listens to the farm first,
takes over what the hosts hold, and only then tells fronts anything.
"""

# Compiled.

from typing import Final, assert_never

from broker import guilt, invariants
from broker.actions import Action, Tell
from broker.adoption import Adoption
from broker.allocation import Allocation
from broker.census import Census
from broker.convergence import Convergence
from broker.events import (
    Accused,
    Begun,
    Changed,
    Event,
    FenceRaised,
    FrontJoined,
    FrontLeft,
    HostJoined,
    HostLeft,
    HostUnreached,
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
from broker.liability import Liability
from broker.loads import Loads
from broker.misses import Misses
from broker.recycling import Recycling
from broker.renewal import Renewal
from broker.step import Step
from broker.story import Story
from broker.suspicion import Suspicion
from broker.tables import Key, State
from luafarm.config.settings import Settings
from luafarm.gaps import Gaps
from luafarm.names import Script
from luafarm.wire.messages import UseRow

TICK_S: Final = 0.1  # between two `Ticked`
FRONT_SILENCE_S: Final = 10.0

_MOST_EARLY: Final = 10_000  # questions that wait until fronts may be told anything
_QUIET: Final = 0.25  # of the takeover time: no news for this long, and all have spoken
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
    ) -> None:
        self._step = Step(now)
        self.farm = Farm(settings, self._step, term)
        self.allocation = Allocation(self.farm, cores)
        self._recycling = Recycling(self.farm, self.allocation)
        convergence = self._convergence = Convergence(self.farm, self.allocation)
        suspicion = self._suspicion = Suspicion(self.farm)
        renewal = self._renewal = Renewal(self.farm, convergence)
        self._loads = Loads(
            self.farm,
            self.allocation,
            self._recycling,
            convergence,
            suspicion,
            renewal,
        )
        liability = self._liability = Liability(self.farm, self.allocation, convergence)
        self._adoption = Adoption(
            self.farm, self.allocation, convergence, self._recycling, suspicion
        )
        self.census = Census(
            self.farm,
            self.allocation,
            convergence,
            self._recycling,
            suspicion,
            liability,
        )
        self._misses = Misses(self.farm, convergence, renewal)
        self.fronts: dict[bytes, Front] = {}
        self._takeover_s = settings.broker.takeover
        self._opens_at = now + self._takeover_s
        #: all that can call this broker is on its own machine
        self._is_alone = not settings.broker.endpoint.startswith("tcp://")
        self._early: list[Missed | Preloaded] = []
        self._gaps = Gaps(TICK_S)
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
            case Missed() | Preloaded():
                self._asked(event)
            case Pressed():
                self._pressed(event)
            case StateLoaded():
                self._loads.loaded(event)
            case StateGone():
                self.census.gone(event)
            case LoadFailed():
                self._loads.failed(event)
            case FenceRaised():
                self._fenced(event)
            case Changed():
                self._renewal.changed(event)
            case MachineReported():
                self._machine_reported(event)
            case SupervisorChanged():
                self.census.changed(event.machine, event.incarnations)
            case HostJoined():
                self.census.joined(event)
            case Inventoried():
                self._adoption.inventoried(event)
            case HostLeft():
                self.census.left(event.lost)
            case HostUnreached(host):
                self.census.unreached(host)
            case Accused():
                self.census.accused(event)
            case FrontJoined():
                self._front_joined(event.front)
            case FrontLeft():
                self.fronts.pop(event.front, None)
            case Realigned(aliases):
                self.farm.bulletin.realign(aliases)
            case Begun():
                self._opens_at = self._step.now + self._takeover_s
            case Ticked():
                self._ticked()
            case _:
                assert_never(event)

    # -- requests without a state ----------------------------------------------------

    def _asked(self, event: Missed | Preloaded) -> None:
        if not self.farm.bulletin.is_open:
            if len(self._early) < _MOST_EARLY:
                self._early.append(event)
        elif isinstance(event, Missed):
            self._misses.missed(event)
        else:
            self._misses.preloaded(event)

    # -- reports ---------------------------------------------------------------------

    def _pressed(self, event: Pressed) -> None:
        if self.farm.bulletin.is_open:
            self.allocation.clone(event)

    def _reported(self, event: Reported) -> None:
        front = self.fronts.get(event.front)
        if front is not None:
            front.heard_at = self._step.now
            front.gauges = dict(event.report.gauges)
        if event.report.is_last:
            self.fronts.pop(event.front, None)
        for row in event.report.uses:
            if row.requests > 0:
                self._used(row)
        for stop in event.report.stops:
            self._liability.stopped(stop)

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
        ended_well = max(0, row.requests - row.errors)
        record.credit = guilt.earn(record.credit, ended_well)
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
        keeper = (event.machine, event.incarnation)
        is_leaving = event.report.is_leaving
        seats = len(named) if is_leaving else event.report.seats
        self.census.reported(keeper, named, seats, is_leaving=is_leaving)
        for row in event.report.hosts:
            host = self.farm.roster.hosts.get(row.host)
            if host is not None and host.up.machine == event.machine:
                host.rss_kib = row.rss_kib
                host.silent_s = row.silent_ms / 1000
                record = self.farm.records.get(Script(row.running))
                is_given = record is not None and host.has(record)
                given = record if is_given else None
                self.allocation.running(host, given, row.requests)
                self._recycling.review(host)
        if is_leaving:
            hosts = self.farm.roster.of_machine(event.machine)
            its = [host for host in hosts if host.incarnation == event.incarnation]
            self._recycling.leave(its)

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
            self._loads.doubt(state, event.epoch)

    # -- fronts ----------------------------------------------------------------------

    def _front_joined(self, front: bytes) -> None:
        self.fronts[front] = Front(self._step.now)
        if self.farm.bulletin.is_open:
            self._step.out.append(Tell(front, self.farm.bulletin.snapshot()))

    # -- time ------------------------------------------------------------------------

    def _ticked(self) -> None:
        if self._gaps.tick(self._step.now):
            # who spoke meanwhile was not heard: nobody is accused of that
            self.census.renew()
            for front in self.fronts.values():
                front.heard_at = self._step.now
        self.allocation.grow_up()
        self.allocation.top_up_short()
        self._suspicion.tick()
        self.census.tick()
        self._liability.release()
        self._recycling.tick()
        self._convergence.retry()
        for record in self.farm.bulletin.expire():
            self._convergence.tend(record)
        for name, front in list(self.fronts.items()):
            if front.heard_at < self._step.now - FRONT_SILENCE_S:
                del self.fronts[name]

    def _open_if_due(self) -> None:
        """Tell fronts from now on if all hosts said what they hold, or time is up."""
        farm = self.farm
        if self._is_alone and self.census.is_complete():
            pass  # whoever could come is there: they meet in the run directory
        elif self._step.now < self._opens_at:
            if not farm.roster.hosts or farm.roster.unknown:
                return
            news_at = max(self.census.news_at, self._adoption.news_at)
            if self._step.now < news_at + self._takeover_s * _QUIET:
                return
        farm.bulletin.is_open = True
        for record in list(farm.records.values()):
            farm.bulletin.publish(record)
            self._convergence.tend(record)
        for name in self.fronts:
            self._step.out.append(Tell(name, farm.bulletin.snapshot()))
        early, self._early = self._early, []
        for event in early:
            self._asked(event)

    def is_single(self, key: Key) -> bool:
        """Say whether no script that uses this file is made of others as well."""
        files = self.farm.files
        return all(
            files.are_few(self.farm.records[user].watched) for user in files.users(key)
        )

    def check(self) -> None:
        """Raise AssertionError if the tables disagree with each other."""
        invariants.check(self.farm)

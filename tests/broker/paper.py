"""A farm on paper: the decisions amid hosts, files and fronts that are data.

Nothing moves by itself: each host works off its orders, each of its answers is
delivered, the watcher notices changes only when told to. So tests can put any event
between any two others.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from broker import actions as act
from broker import events as ev
from broker.machine import Broker
from broker.resolve import candidates, is_below, is_in, pool_of, possible
from luafarm.config.settings import Broker as BrokerSettings
from luafarm.config.settings import PoolSettings, ScriptSettings, Settings
from luafarm.ends import Budget, Closing, Death
from luafarm.names import Epoch, HostId, Machine, Pool, RequestId, Script
from luafarm.wire.messages import (
    HOST_ERROR,
    Dependency,
    HostLost,
    HostRow,
    HostUp,
    MachineReport,
    NeedKind,
    Place,
    Report,
    ScriptError,
    Snapshot,
    StateRow,
    UseRow,
    Verdict,
)

POOL = Pool("p")
ROOT = b"/r"
FRONT = b"front"
TERM = 7


def script(name: str) -> Script:
    """Return the script of this name."""
    return Script(b"/r/" + name.encode() + b".lua")


def settings(
    pool: PoolSettings | None = None,
    scripts: tuple[ScriptSettings, ...] = (),
    **broker: Any,
) -> Settings:
    """Return settings of one pool at /r; takeover ends with the first event."""
    return Settings(
        broker=BrokerSettings(**{"takeover": 0.0, **broker}),
        pool={"p": pool or PoolSettings(root=("/r",))},
        script=scripts,
    )


@dataclass
class Held:
    """A state on a host."""

    epoch: Epoch
    digest: bytes
    used: dict[bytes, bytes]  # path: content, empty where there was none
    dependencies: tuple[Dependency, ...]
    requests: int = 0


@dataclass
class PaperHost:
    """A VM host: orders in, events out, both in order."""

    up: HostUp
    orders: deque[act.Action] = field(default_factory=deque)
    answers: deque[ev.Event] = field(default_factory=deque)
    states: dict[Script, Held] = field(default_factory=dict)
    #: the one before, while the newest is not in force
    olds: dict[Script, Held] = field(default_factory=dict)
    fences: dict[Script, Epoch] = field(default_factory=dict)

    def loads(self) -> bool:
        """Say whether its next order is to load."""
        return bool(self.orders) and isinstance(self.orders[0], act.Load)


class Paper:
    """The broker's decisions, hosts, files and what one front knows."""

    def __init__(self, config: Settings | None = None, **machine: int) -> None:
        self.settings = config or settings()
        self.now = 100.0
        self.broker = Broker(self.settings, TERM, self.now, **machine)
        self.hosts: dict[HostId, PaperHost] = {}
        self.incarnation = 0  # of the supervisor of hosts that join
        self.files: dict[bytes, bytes] = {}
        self.broken: set[bytes] = set()
        self.unreadable: set[bytes] = set()
        self.requires: dict[Script, tuple[bytes, ...]] = {}
        self.watched: dict[tuple[Pool, bytes], bytes] = {}
        self.barriers: dict[bytes, bytes] = {}
        self.asked: set[bytes] = set()  # what the front waits for
        self.places: dict[Script, Place] = {}
        self.verdicts: list[Place] = []
        self.answers: dict[bytes, act.Answer] = {}
        self.orders: list[act.Action] = []
        self.kept: dict[Script, tuple[bytes, ...]] = {}
        self.version = 0
        self.snapshots = 0
        self.checks = True

    # -- the machine -----------------------------------------------------------------

    def play(self, event: ev.Event) -> list[act.Action]:
        """Hand an event to the machine, check it, carry out its actions."""
        actions = self.broker.handle(event, self.now)
        for action in actions:
            self._carry_out(action)
        if self.checks:
            self.broker.check()
        return actions

    def _carry_out(self, action: act.Action) -> None:
        self.orders.append(action)
        match action:
            case act.Load(host=host) | act.Drop(host=host) | act.Fence(host=host):
                if host in self.hosts:
                    self.hosts[host].orders.append(action)
            case act.Tell(_, message):
                self._told(message)
            case act.Watch(pool, path, digest):
                self.watched[pool, path] = digest
            case act.Unwatch(pool, path):
                del self.watched[pool, path]
            case act.WatchBarrier(path, seen):
                self.barriers[path] = seen
            case act.UnwatchBarrier(path):
                del self.barriers[path]
            case act.Answer(ticket):
                assert ticket not in self.answers
                self.answers[ticket] = action
            case act.Keep(name, digests):
                self.kept[name] = digests
            case _:
                pass

    def _told(self, message: object) -> None:
        match message:
            case Place():
                self._placed(message)
            case Snapshot(_, places):
                self.snapshots += 1
                self.places = {}
                for place in places:
                    self._placed(place)
            case _:
                pass

    def _placed(self, place: Place) -> None:
        for host in place.hosts:
            self._assert_loaded(host, place)
        if place.asked:
            assert place.asked in self.asked, place
            self.asked.remove(place.asked)
            self.verdicts.append(place)
        self.places[place.script] = place

    def _assert_loaded(self, host: HostId, place: Place) -> None:
        """Fail unless the host has such a state, or just lost it."""
        paper = self.hosts.get(host)
        if paper is None:
            return  # died; the broker is not told yet
        held = paper.states.get(place.script)
        lost = any(
            isinstance(e, ev.StateGone) and e.script == place.script
            for e in paper.answers
        )
        assert lost or (held is not None and held.epoch >= place.epoch), place

    def restart(self, term: int, *, settles: bool) -> None:
        """Let a new broker take the farm over; supervisors and front greet it."""
        self.broker = Broker(self.settings, term, self.now)
        self.watched.clear()
        self.barriers.clear()
        for host in self.hosts.values():
            host.answers.clear()  # they went to the old one
        if self.hosts:
            self.play(ev.FrontJoined(FRONT))
        for host in self.hosts.values():
            self.play(ev.HostJoined(host.up))
            while host.orders and settles:
                self.work(host.up.host)
            self._choose(host)
            host.answers.clear()
            rows = self.inventory(host.up.host)
            self.play(ev.Inventoried(host.up.host, rows))
        for asked in sorted(self.asked):
            self.play(self._missed(asked))

    # -- hosts -----------------------------------------------------------------------

    def host_up(self, name: str, machine: str = "m") -> HostUp:
        """Return the announcement of a host."""
        return HostUp(
            HostId(name), POOL, Machine(machine), "", b"", "", b"", (), (), 1, 1
        )

    def join(
        self, *names: str, machine: str = "m", states: tuple[StateRow, ...] = ()
    ) -> None:
        """Let hosts join that hold these states."""
        for name in names:
            up = self.host_up(name, machine)
            host = self.hosts[up.host] = PaperHost(up)
            for row in states:
                used: dict[bytes, bytes] = {row.script: row.digest}
                host.states[row.script] = Held(
                    row.epoch, row.digest, used, row.dependencies, row.requests
                )
            self.play(ev.HostJoined(up, self.incarnation))
            self.play(ev.Inventoried(up.host, states))

    def report(
        self, machine: str = "m", requests: int = 0, rss_kib: int = 0, of: str = ""
    ) -> list[act.Action]:
        """Let a supervisor report its hosts, one of them with these figures."""
        rows = tuple(
            HostRow(h, requests, rss_kib, b"") if h == of else HostRow(h, 0, 0, b"")
            for h, host in self.hosts.items()
            if host.up.machine == machine
        )
        name = Machine(machine)
        return self.play(ev.MachineReported(name, MachineReport(rows)))

    def die(self, name: str, reason: str = "crash", of: bytes = b"") -> None:
        """Let a host die, maybe of a script, and its supervisor say so."""
        del self.hosts[HostId(name)]
        running = RequestId(1 if of else 0)
        lost = HostLost(HostId(name), running, (), Script(of), Death(reason), "")
        self.play(ev.HostLeft(lost))

    def work(self, name: HostId) -> None:
        """Let a host carry out its next order."""
        host = self.hosts[name]
        match host.orders.popleft():
            case act.Load() as load:
                host.answers.append(self._load(host, load))
            case act.Drop(_, path, epoch):
                gone: list[Epoch] = []
                for states in (host.states, host.olds):
                    held = states.get(path)
                    if held is not None and held.epoch <= epoch:
                        del states[path]
                        gone.append(held.epoch)
                for one in gone or [epoch]:
                    host.answers.append(ev.StateGone(name, path, one, Closing.DROPPED))
            case act.Fence(_, path, epoch):
                host.fences[path] = max(host.fences.get(path, Epoch(0)), epoch)
                host.answers.append(ev.FenceRaised(name, path, epoch))
                old = host.olds.get(path)
                if old is not None and old.epoch < epoch:
                    self._replaced(host, path, host.olds.pop(path))
            case other:
                raise AssertionError(other)

    def refuse(self, name: HostId, end: Budget | Closing = Budget.NONE) -> None:
        """Let a host refuse its next order, a load, or an order come to nothing."""
        load = self.hosts[name].orders.popleft()
        assert isinstance(load, act.Load)
        if isinstance(end, Closing):
            event: ev.Event = ev.StateGone(name, load.script, load.epoch, end)
        else:
            error = ScriptError(HOST_ERROR, "no space", "", "", 0, "", end)
            event = ev.LoadFailed(name, load.script, load.epoch, error)
        self.hosts[name].answers.append(event)

    def _load(self, host: PaperHost, load: act.Load) -> ev.Event:
        expected = {d.name: d for d in load.dependencies}
        dependencies: list[Dependency] = []
        used: dict[bytes, bytes] = {}
        for name in self.requires.get(load.script, ()):
            dependency = expected.get(name) or self._need(load.script, name)
            dependencies.append(dependency)
            used.update(self._tried(load.script, dependency))
        digests = {load.digest, *used.values()}
        if digests & self.broken:
            error = ScriptError("Syntax Error", "broken", "", "", 1, "", Budget.NONE)
            return ev.LoadFailed(
                host.up.host, load.script, load.epoch, error, tuple(dependencies)
            )
        old = host.states.get(load.script)
        if old is not None:
            is_fenced = old.epoch < host.fences.get(load.script, Epoch(0))
            if is_fenced or load.script in host.olds:
                self._replaced(host, load.script, old)
            else:
                host.olds[load.script] = old
        host.states[load.script] = Held(
            load.epoch,
            load.digest,
            {load.script: load.digest, **used},
            tuple(dependencies),
        )
        return ev.StateLoaded(
            host.up.host, load.script, load.epoch, 0.002, 100, tuple(dependencies)
        )

    def _replaced(self, host: PaperHost, path: Script, old: Held) -> None:
        gone = ev.StateGone(host.up.host, path, old.epoch, Closing.REPLACED)
        host.answers.append(gone)

    def _choose(self, host: PaperHost) -> None:
        """Settle for one state of each script: the newest if the front knows of it."""
        for path, old in host.olds.items():
            place = self.places.get(path)
            if place is None or place.epoch < host.states[path].epoch:
                host.states[path] = old
        host.olds.clear()

    def _need(self, path: Script, name: bytes) -> Dependency:
        paths = self.broker.farm.pools[POOL]
        for candidate in candidates(paths, path, NeedKind.MODULE, name):
            if candidate in self.files:
                digest = self.files[candidate]
                return Dependency(NeedKind.MODULE, name, candidate, digest)
        return Dependency(NeedKind.MODULE, name, b"", b"")

    def _tried(self, path: Script, dependency: Dependency) -> dict[bytes, bytes]:
        paths = self.broker.farm.pools[POOL]
        tried: dict[bytes, bytes] = {}
        for candidate in candidates(paths, path, NeedKind.MODULE, dependency.name):
            if candidate == dependency.path:
                tried[candidate] = dependency.digest
                break
            tried[candidate] = b""
        return tried

    def deliver(self, name: HostId) -> None:
        """Hand the next answer of a host to the machine, files compared."""
        event = self.hosts[name].answers.popleft()
        if isinstance(event, ev.StateLoaded | ev.LoadFailed):
            event = self._compared(event)
        self.play(event)

    def _compared(
        self, event: ev.StateLoaded | ev.LoadFailed
    ) -> ev.StateLoaded | ev.LoadFailed:
        changed = []
        for dependency in event.dependencies:
            for path, digest in self._tried(event.script, dependency).items():
                if self.files.get(path, b"") != digest:
                    changed.append(self._now(path))
        if isinstance(event, ev.StateLoaded):
            return ev.StateLoaded(
                event.host,
                event.script,
                event.epoch,
                event.load_s,
                event.kib,
                event.dependencies,
                tuple(changed),
            )
        return ev.LoadFailed(
            event.host,
            event.script,
            event.epoch,
            event.error,
            event.dependencies,
            tuple(changed),
        )

    def run(self) -> None:
        """Let all hosts work and all answers arrive until nothing is left to do."""
        for _ in range(1000):
            busy = [h for h in self.hosts.values() if h.orders or h.answers]
            if not busy:
                return
            for host in busy:
                while host.orders:
                    self.work(host.up.host)
                while host.answers:
                    self.deliver(host.up.host)
        raise AssertionError("the farm never rests")

    def inventory(self, name: str) -> tuple[StateRow, ...]:
        """Return what a host would tell of itself."""
        return tuple(
            StateRow(
                path, h.epoch, h.digest, 2000, 100, h.requests, 1000, h.dependencies
            )
            for path, h in self.hosts[HostId(name)].states.items()
        )

    # -- files -----------------------------------------------------------------------

    def write(self, path: bytes, *, broken: bool = False) -> bytes:
        """Give a file a new content; return its digest."""
        self.version += 1
        digest = b"v%d" % self.version
        self.files[path] = digest
        if broken:
            self.broken.add(digest)
        return digest

    def _now(self, path: bytes) -> ev.FileNow:
        if path in self.unreadable and path in self.files:
            return ev.FileNow(POOL, path, b"", "permission denied")
        return ev.FileNow(POOL, path, self.files.get(path, b""))

    def settle(self, ticket: bytes = b"", scope: bytes = b"") -> None:
        """Let the watcher report what is others than before."""
        changed = []
        for (pool, path), digest in self.watched.items():
            now = self._now(path)
            if now.digest != digest or now.error:
                self.watched[pool, path] = now.digest
                changed.append(now)
        passed = []
        for barrier, seen in self.barriers.items():
            there = any(is_in(path, barrier) for path in self.files)
            there_now = self.files.get(barrier, b"dir" if there else b"")
            if there_now != seen:
                self.barriers[barrier] = there_now
                passed.append(barrier)
        if changed or passed or ticket:
            self.play(ev.Changed(tuple(changed), ticket, scope, passed=tuple(passed)))

    # -- the front -------------------------------------------------------------------

    def find(self, asked: bytes) -> ev.Found | None:
        """Return what a requested path means."""
        where = pool_of(self.broker.farm.pools.values(), asked)
        for path in possible(*where, asked) if where else []:
            now = self._now(path)
            if now.digest or now.error:
                return ev.Found(POOL, Script(path), now.digest, now.error)
        return None

    def barrier(self, asked: bytes) -> ev.Barrier | None:
        """Return where the way to a requested path ends."""
        where = pool_of(self.broker.farm.pools.values(), asked)
        scripts = possible(*where, asked) if where else []
        if not scripts:
            return None
        here = b""
        for part in scripts[-1].split(b"/")[1:]:
            here += b"/" + part
            if here != ROOT and not any(is_below(f, here) for f in self.files):
                break
        return ev.Barrier(here, self.files.get(here, b""))

    def _missed(self, asked: bytes, hosts: tuple[HostId, ...] = ()) -> ev.Missed:
        return ev.Missed(FRONT, asked, self.find(asked), hosts, self.barrier(asked))

    def miss(self, asked: bytes, *idle: str) -> None:
        """Let the front ask for a path, unless it waits for an answer already."""
        if asked in self.asked:
            return
        self.asked.add(asked)
        hosts = tuple(HostId(name) for name in idle)
        self.play(self._missed(asked, hosts))

    def ask(self, asked: bytes) -> Place:
        """Let the front ask for a path and the farm work until it is answered."""
        before = len(self.verdicts)
        self.miss(asked)
        self.run()
        assert len(self.verdicts) > before, f"{asked!r} was not answered"
        return self.verdicts[-1]

    def use(
        self,
        path: Script,
        host: HostId,
        requests: int = 1,
        busy_us: int = 100,
        waited_us: int = 0,
        errors: int = 0,
    ) -> None:
        """Let the front report requests that were served."""
        row = UseRow(path, host, requests, busy_us, waited_us, 0, errors)
        self.play(ev.Reported(FRONT, Report((row,), ())))

    def use_all(self) -> None:
        """Report one request for each state of which the front knows."""
        for place in list(self.places.values()):
            for host in place.hosts:
                if place.verdict == Verdict.READY:
                    self.use(place.script, host)

    def press(
        self,
        path: Script,
        *idle: str,
        waited_s: float = 0.01,
        queued: int = 10,
    ) -> None:
        """Let the front complain that requests wait."""
        hosts = tuple(HostId(name) for name in idle)
        self.play(ev.Pressed(path, waited_s, queued, waited_s * queued, hosts))

    def tick(self, seconds: float = 0.1) -> None:
        """Let time pass, in ticks that grow with it."""
        while seconds > 0.0:
            step = min(seconds, max(1.0, seconds / 8))
            seconds -= step
            self.now += step
            for machine in list(self.broker.census.supervisors):
                self.broker.census.supervisors[machine] = self.now
            self.play(ev.Ticked())

    def count(self, name: str) -> int:
        """Return a counter of the machine."""
        return self.broker.farm.step.counts.get(name, 0)

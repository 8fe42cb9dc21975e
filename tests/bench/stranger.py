"""A simulator that was written from the interface's words alone, and mistrusts.

Hosts run one thing at a time in order, messages take their time but keep their order,
hosts are lost with all they have and come back empty. Whatever broker and fronts order
is checked at once against the invariants of dispatch (I1 to I7) and the guards of
placement.
"""

import heapq
import itertools
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from bench.simulate.adapter import Broker, Front
from tests.bench import words

WINDOW_S = 0.001  # the widest that may be expected to wait on a host
STALL_S = 0.001
YOUNG_S = 1.0
BACK_OFF_S = 0.032


@dataclass
class Host:
    """Orders in, answers out."""

    states: dict[int, int] = field(default_factory=dict)
    fences: dict[int, int] = field(default_factory=dict)
    queue: deque[tuple[Any, ...]] = field(default_factory=deque)
    is_busy: bool = False
    is_up: bool = True
    life: int = 0


class View:
    """What one front was told and does, as a stranger sees it."""

    def __init__(self) -> None:
        self.places: dict[int, tuple[int, ...]] = {}
        self.hosts: set[int] = set()
        self.queues: dict[int, list[int]] = {}
        self.running: dict[int, list[int]] = {}
        self.progress: dict[int, float] = {}
        self.pressed: dict[int, float] = {}


class World:
    """A farm with one broker and some fronts."""

    def __init__(
        self,
        seed: int,
        *,
        fronts: int = 1,
        hosts: int = 8,
        states: int = 12,
        clones: int = 4,
        scripts: int = 16,
    ) -> None:
        self.chance = random.Random(seed)
        self.now = 0.0
        names = list(range(hosts))
        self.states, self.clones = states, clones
        self.broker = Broker(words.Config(names, states, clones, cores=hosts))
        self.fronts = [
            Front(words.Config(names, states, clones, seed=n + 1))
            for n in range(fronts)
        ]
        self.views = [View() for _ in range(fronts)]
        for view in self.views:
            view.hosts = set(range(hosts))
        self.hosts = [Host() for _ in range(hosts)]
        #: typical service time: quick ones, and a few that are slow
        self.service_s = [
            self.chance.choice((0.0001, 0.0002, 0.0005, 0.003, 0.02))
            for _ in range(scripts)
        ]
        self.load_s = [self.chance.uniform(0.0003, 0.01) for _ in range(scripts)]
        self.requests: dict[int, tuple[int, int, float]] = {}  # script, front, arrival
        self.started: dict[int, int] = {}
        self.answered: set[int] = set()
        #: what the broker has ordered and knows to be there: since when
        self.ordered: dict[tuple[int, int], int] = {}
        self.confirmed: dict[tuple[int, int], float] = {}
        self.served: set[tuple[int, int]] = set()
        self.published: dict[int, int] = {}
        self.deploys: dict[object, int] = {}
        self.in_force: dict[int, int] = {}  # acknowledged: nothing older may start
        self.syncs: dict[object, bool] = {}
        self.evictions = self.loads = self.sends = 0
        self._order = itertools.count()
        self._events: list[tuple[float, int, Any]] = []
        self._channels: dict[object, float] = {}

    # -- time ------------------------------------------------------------------------

    def at(self, when: float, what: Any) -> None:
        heapq.heappush(self._events, (when, next(self._order), what))

    def say(self, channel: object, what: Any) -> None:
        """Deliver after a delay, in order with all else on this channel."""
        when = self.now + self.chance.uniform(0.00002, 0.0002)
        when = max(when, self._channels.get(channel, 0.0))
        self._channels[channel] = when
        self.at(when, what)

    def run(self, until: float) -> None:
        """Let everything happen; time ends when nothing more does, or then."""
        self.at(0.1, self.tick)
        while self._events and self._events[0][0] <= until:
            self.now, _, what = heapq.heappop(self._events)
            what()

    def tick(self) -> None:
        self.to_broker(words.Tick())
        self.at(self.now + 0.1, self.tick)

    # -- broker ----------------------------------------------------------------------

    def to_broker(self, event: Any) -> None:
        match event:
            case words.Loaded(script, host):
                if (script, host) in self.ordered:
                    self.confirmed[script, host] = self.now
                    self.served.discard((script, host))
            case words.Gone(script, host):
                pass
            case words.Report(rows):
                for row in rows:
                    self.served.add((row.script, row.host))
            case words.HostDown(host):
                for table in (self.ordered, self.confirmed):
                    for key in [k for k in table if k[1] == host]:
                        del table[key]
            case _:
                pass
        for action in self.broker.handle(self.now, event):
            self.obey(action, event)
        self.check_limits()

    def obey(self, action: Any, event: Any) -> None:
        match action:
            case words.Load(script, host, epoch):
                assert self.hosts[host].is_up or (script, host) not in self.ordered
                if isinstance(event, words.Pressure):
                    assert host in event.idle, "a clone where it cannot help"
                self.loads += 1
                self.ordered[script, host] = epoch
                self.order(host, ("load", script, epoch))
            case words.Evict(script, host):
                self.evictions += 1
                since = self.confirmed.pop((script, host))
                del self.ordered[script, host]
                may_go = (
                    self.now - since >= YOUNG_S
                    or (script, host) in self.served
                    or any(s == script for s, _ in self.confirmed)  # it moved
                )
                assert may_go, "gone before it served"
                self.order(host, ("evict", script))
            case words.Fence(script, host, epoch):
                self.order(host, ("fence", script, epoch))
            case words.Publish(script, hosts, epoch):
                assert len(set(hosts)) == len(hosts)
                self.published[script] = max(epoch, self.published.get(script, 0))
                for host in hosts:
                    assert (script, host) in self.confirmed, "published, not loaded"
                for n in range(len(self.fronts)):
                    self.say(("broker", n), lambda n=n: self.to_front(n, action))
            case words.Answer(sync, is_ok):
                assert sync not in self.syncs
                self.syncs[sync] = is_ok
                script = self.deploys[sync]
                self.in_force[script] = self.published.get(script, 0)
            case other:
                raise AssertionError(other)

    def check_limits(self) -> None:
        assert len(self.ordered) <= self.states, "too many states"
        clones: dict[int, int] = {}
        for script, _ in self.ordered:
            clones[script] = clones.get(script, 0) + 1
        assert max(clones.values(), default=0) <= self.clones, "too many clones"

    def deploy(self, script: int) -> None:
        """Change a script and wait for the answer."""
        sync = ("deploy", len(self.deploys))
        self.deploys[sync] = script
        self.to_broker(words.Changed((script,), sync))

    # -- hosts -----------------------------------------------------------------------

    def order(self, host: int, job: tuple[Any, ...]) -> None:
        life = self.hosts[host].life
        self.say(("host", host), lambda: self.reach(host, life, job))

    def reach(self, host: int, life: int, job: tuple[Any, ...]) -> None:
        if self.hosts[host].life == life and self.hosts[host].is_up:
            self.hosts[host].queue.append(job)
            self.work(host)

    def work(self, name: int) -> None:
        host = self.hosts[name]
        while host.queue and not host.is_busy:
            kind, *job = host.queue.popleft()
            if kind == "evict":
                host.states.pop(job[0], None)
                self.tell_broker(name, words.Gone(job[0], name))
            elif kind == "fence":
                host.fences[job[0]] = job[1]
                self.tell_broker(name, words.Fenced(job[0], name, job[1]))
            elif kind == "load":
                self.load(name, *job)
            else:
                self.begin(name, *job)

    def busy(self, name: int, seconds: float, then: Any) -> None:
        host = self.hosts[name]
        host.is_busy = True
        life = host.life

        def end() -> None:
            if host.life == life and host.is_up:
                host.is_busy = False
                then()
                self.work(name)

        self.at(self.now + seconds, end)

    def load(self, name: int, script: int, epoch: int) -> None:
        def ready() -> None:
            self.hosts[name].states[script] = epoch
            done = words.Loaded(script, name, epoch, self.load_s[script], 50)
            self.tell_broker(name, done)

        self.busy(name, self.load_s[script], ready)

    def begin(self, name: int, request: int, front: int) -> None:
        script = self.requests[request][0]
        host = self.hosts[name]
        if host.states.get(script, -1) < host.fences.get(script, 0):
            back = words.Returned(name, (request,))
            self.say((name, front), lambda: self.to_front(front, back))
            return
        assert request not in self.answered
        assert host.states[script] >= self.in_force.get(script, 0), "stale"
        self.started[request] = self.started.get(request, 0) + 1
        seconds = self.service_s[script] * self.chance.uniform(0.9, 1.1)

        def done() -> None:
            reply = words.Reply(request, name, seconds)
            self.say((name, front), lambda: self.to_front(front, reply))

        self.busy(name, seconds, done)

    def tell_broker(self, name: int, event: Any) -> None:
        life = self.hosts[name].life

        def arrive() -> None:
            if self.hosts[name].life == life:
                self.to_broker(event)

        self.say((name, "broker"), arrive)

    def lose(self, name: int, down_s: float) -> None:
        """Let a host die with all it has, and come back empty."""
        host = self.hosts[name]
        if not host.is_up:
            return
        host.is_up = False
        host.life += 1
        host.states, host.fences = {}, {}
        host.queue.clear()
        host.is_busy = False
        self.say((name, "broker"), lambda: self.to_broker(words.HostDown(name)))
        down = words.HostDown(name)
        for n in range(len(self.fronts)):
            self.say((name, n), lambda n=n: self.to_front(n, down))
        self.at(self.now + down_s, lambda: self.come_back(name))

    def come_back(self, name: int) -> None:
        self.hosts[name].is_up = True
        up = words.HostUp(name)
        for n in range(len(self.fronts)):
            self.say((name, n), lambda n=n: self.to_front(n, up))
        self.say((name, "broker"), lambda: self.to_broker(words.HostUp(name)))

    # -- fronts ----------------------------------------------------------------------

    def request(self, n: int, script: int, front: int) -> None:
        self.requests[n] = (script, front, self.now)
        self.to_front(front, words.Arrive(n, script))

    def to_front(self, n: int, event: Any) -> None:
        view = self.views[n]
        if not self.learn(view, event):
            return  # its host died meanwhile
        for action in self.fronts[n].handle(self.now, event):
            self.observe(n, view, action)
        self.check_work_conserving(view)
        for script in [s for s in view.pressed if not view.places[s]]:
            del view.pressed[script]  # cold: nothing to complain of

    def learn(self, view: View, event: Any) -> bool:
        """Note what a front is told; return False for words of the dead."""
        match event:
            case words.Arrive(request, script):
                view.queues.setdefault(script, []).append(request)
            case words.Publish(script, hosts):
                view.places[script] = hosts
            case words.Reply(request, host):
                if request not in view.running.get(host, ()):
                    return False
                view.running[host].remove(request)
                view.progress[host] = self.now
                assert request not in self.answered, "answered twice"
                self.answered.add(request)
            case words.Returned(host, ids):
                if not set(ids) <= set(view.running.get(host, ())):
                    return False
                for request in ids:
                    self.requeue(view, host, request)
                    script = self.requests[request][0]
                    places = view.places.get(script, ())
                    view.places[script] = tuple(h for h in places if h != host)
                view.progress[host] = self.now
            case words.HostDown(host):
                view.hosts.discard(host)
                for request in list(view.running.get(host, ())):
                    self.requeue(view, host, request)
                for script, places in view.places.items():
                    view.places[script] = tuple(h for h in places if h != host)
            case words.HostUp(host):
                view.hosts.add(host)
            case _:
                pass
        return True

    def requeue(self, view: View, host: int, request: int) -> None:
        view.running[host].remove(request)
        queue = view.queues.setdefault(self.requests[request][0], [])
        queue.append(request)
        queue.sort(key=lambda r: self.requests[r][2])

    def observe(self, n: int, view: View, action: Any) -> None:
        match action:
            case words.Send(request, host):
                self.check_send(view, request, host)
                self.order(host, ("run", request, n))
            case words.SetTimer(at, tag):
                assert at > self.now or tag == "wake"
                self.at(max(at, self.now), lambda: self.to_front(n, words.Timer(tag)))
            case words.ToBroker(event):
                if isinstance(event, words.Pressure):
                    self.check_pressure(view, event)
                self.say((n, "broker"), lambda: self.to_broker(event))
            case words.Recall():
                raise AssertionError("nothing to recall: windows are in time")
            case other:
                raise AssertionError(other)

    def check_send(self, view: View, request: int, host: int) -> None:
        script, _, arrival = self.requests[request]
        queue = view.queues[script]
        assert request in queue, "I4: it had an owner"
        first = self.requests[queue[0]][2]
        assert first == arrival, "I5: an earlier request of the script waits"
        assert host in view.places[script], "sent where the script is not"
        queue.remove(request)
        running = view.running.setdefault(host, [])
        if running:
            expected = [self.service_s[self.requests[r][0]] for r in running]
            total = sum(expected) + self.service_s[script]
            assert total <= 1.2 * WINDOW_S, "I1, I7: behind too much work"
            assert self.now - view.progress[host] <= STALL_S, "I2: behind a stall"
        else:
            view.progress[host] = self.now
        running.append(request)
        self.sends += 1

    def check_work_conserving(self, view: View) -> None:
        for script, queue in view.queues.items():
            if queue:
                for host in view.places.get(script, ()):
                    is_free = host in view.hosts and not view.running.get(host)
                    assert not is_free, "I3: it waits although a host is free"

    def check_pressure(self, view: View, event: words.Pressure) -> None:
        script: int = event.script
        queue = view.queues[script]
        assert event.queued == len(queue)
        waits = [self.now - self.requests[r][2] for r in queue]
        assert abs(event.waited - waits[0]) < 1e-5
        assert abs(event.total_s - sum(waits)) < 1e-4 + 1e-5 * len(waits)
        for host in event.idle:
            assert not view.running.get(host)
        last = view.pressed.get(script)
        if last is not None and waits[0] > self.now - last:
            assert self.now - last <= BACK_OFF_S + 1e-6, "the back-off is capped"
        view.pressed[script] = self.now

"""A farm in simulated time around its fronts' decisions: what its clients would see.

Hosts share processors evenly, as the kernel does it, so that a run takes longer while
others compute; what a host reports is the CPU time, as VM hosts do.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from fcgi.dispatch.actions import Action, Refuse, Send
from fcgi.dispatch.machine import Dispatch
from fcgi.dispatch.tables import Pending
from luafarm.names import Epoch, HostId, Pool, RequestId, Script
from luafarm.wire.messages import SAFE, Place, Verdict

TARGET_S = 0.1
TIMEOUT_S = 10.0
TICK_S = 0.1


@dataclass(frozen=True)
class Ask:
    """A request that comes at a time and needs so much of a processor."""

    at: float
    script: bytes
    work_s: float


@dataclass
class Fate:
    """What became of a request."""

    ask: Ask
    started: float = -1.0
    ended: float = -1.0
    refused: float = -1.0
    retry_after_s: int = 0

    @property
    def waited(self) -> float:
        return self.started - self.ask.at


@dataclass
class Run:
    front: Dispatch
    fate: Fate
    request: RequestId
    left_s: float


@dataclass
class Farm:
    """Fronts that take turns with what comes, VM hosts and their processors."""

    hosts: int = 4
    cores: float = 2.0
    number: int = 1  # of fronts
    fronts: list[Dispatch] = field(default_factory=list)
    now: float = 0.0
    fates: list[Fate] = field(default_factory=list)
    running: dict[HostId, Run] = field(default_factory=dict)
    behind: dict[HostId, list[Run]] = field(default_factory=dict)
    is_stopped: bool = False  # nothing computes

    def __post_init__(self) -> None:
        """Let all fronts know all hosts, and that they are ready."""
        ids = count(1)
        self.behind = {name: [] for name in self.names()}
        for number in range(self.number):
            front = Dispatch(
                lambda: next(ids),
                number=number,
                queue=100_000,
                queue_per_script=100_000,
                queue_timeout_s=TIMEOUT_S,
                queue_target_s=TARGET_S,
                remembered=100,
            )
            for name in self.names():
                front.host_up(name)
                front.host_ready(name, 0.0)
            self.fronts.append(front)

    def names(self) -> tuple[HostId, ...]:
        return tuple(HostId(f"h{n}") for n in range(self.hosts))

    def place(self, *scripts: bytes, hosts: tuple[HostId, ...] = ()) -> None:
        for script in scripts:
            place = Place(
                b"",
                Script(script),
                Pool("p"),
                Verdict.READY,
                Epoch(1),
                hosts or self.names(),
                0,  # no budget
                1 << 20,
                1 << 16,
                0,
                None,
            )
            for front in self.fronts:
                self.act(front, front.place(place, self.now))

    def act(self, front: Dispatch, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send(pending=pending):
                    fate = pending.owner
                    assert isinstance(fate, Fate)
                    assert pending.host is not None
                    name = pending.host.name
                    run = Run(front, fate, pending.id, fate.ask.work_s)
                    if name in self.running:
                        self.behind[name].append(run)
                    else:
                        self.start(name, run)
                case Refuse(pending=pending, retry_after_s=retry_after_s):
                    fate = pending.owner
                    assert isinstance(fate, Fate)
                    fate.refused = self.now
                    fate.retry_after_s = retry_after_s
                case _:
                    pass

    def start(self, name: HostId, run: Run) -> None:
        run.fate.started = self.now
        self.running[name] = run

    def stop(self) -> None:
        self.is_stopped = True

    def go_on(self) -> None:
        self.is_stopped = False

    def speed(self) -> float:
        """Return what each that runs gets of a processor."""
        if self.is_stopped or not self.running:
            return 0.0
        return min(1.0, self.cores / len(self.running))

    def pass_time(self, until: float) -> None:
        """Compute until then; end what is done on the way."""
        while True:
            speed = self.speed()
            if not speed:
                break
            name, run = min(self.running.items(), key=lambda item: item[1].left_s)
            ends = self.now + run.left_s / speed
            if ends > until:
                break
            self.advance(ends)
            self.end(name)
        self.advance(until)

    def advance(self, until: float) -> None:
        done_s = (until - self.now) * self.speed()
        for run in self.running.values():
            run.left_s -= done_s
        self.now = until

    def end(self, name: HostId) -> None:
        run = self.running.pop(name)
        run.fate.ended = self.now
        if self.behind[name]:
            self.start(name, self.behind[name].pop(0))
        service_us = round(run.fate.ask.work_s * 1e6)
        front = run.front
        front.finish(name, run.request, service_us, self.now, ok=True)
        self.act(front, front.fill(name, self.now))
        front.check()

    def play(self, asks: list[Ask], *events: tuple[float, Callable[[], None]]) -> None:
        """Let these come in their order, and call these; return when all are over."""
        first = len(self.fates)
        self.fates += [Fate(ask) for ask in asks]
        agenda: list[tuple[float, int, object]] = []
        for number, fate in enumerate(self.fates[first:]):
            heapq.heappush(agenda, (fate.ask.at, number, fate))
        for order, (at, event) in enumerate(events):
            heapq.heappush(agenda, (at, -2 - order, event))
        heapq.heappush(agenda, (self.now + TICK_S, -1, None))
        while agenda:
            at, number, what = heapq.heappop(agenda)
            self.pass_time(at)
            if isinstance(what, Fate):
                script = what.ask.script
                pending = Pending(what, script, SAFE, b"", b"", 0, 0, self.now)
                front = self.fronts[number % self.number]
                self.act(front, front.arrive(pending, self.now))
                front.check()
            elif callable(what):
                what()
            else:
                for front in self.fronts:
                    self.act(front, front.wake(self.now))
                    self.act(front, front.tick(self.now))
                if agenda or any(front.outstanding for front in self.fronts):
                    heapq.heappush(agenda, (self.now + TICK_S, -1, None))


def random_asks(
    seed: int, script: bytes, work_s: float, rate: float, begin: float, end: float
) -> list[Ask]:
    """Return requests at random times; their work varies by a half."""
    chance = random.Random(seed)
    asks: list[Ask] = []
    at = begin + chance.expovariate(rate)
    while at < end:
        asks.append(Ask(at, script, work_s * chance.uniform(0.5, 1.5)))
        at += chance.expovariate(rate)
    return asks


def merged(*asks: list[Ask]) -> list[Ask]:
    """Return them all in the order of their times."""
    return sorted((ask for some in asks for ask in some), key=lambda ask: ask.at)


def share(values: list[float], part: float) -> float:
    """Return what this part of the values does not exceed."""
    return sorted(values)[int(len(values) * part)] if values else 0.0

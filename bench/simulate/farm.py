"""A farm in simulated time: fronts and broker are real, hosts and messages are not.

Hosts share cores (`cores`), run one thing at a time in order of arrival, and answer
after a message delay. A broker of None means: every script is on every host, for ever.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from bench.simulate import machines
from bench.simulate.cores import Cores
from bench.simulate.front import Front, Orders
from broker import actions as act
from broker import events as ev
from luafarm.ends import Closing
from luafarm.names import Epoch, HostId
from luafarm.wire.messages import Place

DELAY_S: Final = 0.000_05
"""One way of a message: half of a measured round trip."""

_TICK_S: Final = 0.1
_KIB: Final = 100  # of every state


class ControlPlane(Protocol):
    """The broker, or a policy in its place."""

    def handle(self, event: ev.Event, now: float) -> list[act.Action]:
        """Take an event; return the actions it calls for, in order."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that will come."""

    at: float
    script: int
    service_s: float


@dataclass(slots=True)
class Outcome:
    """What happened in a run."""

    answered: list[tuple[Arrival, float]] = field(default_factory=list)  # sojourn
    loaded: list[tuple[float, int]] = field(default_factory=list)  # when, script
    loads: int = 0
    evictions: int = 0
    cold: int = 0  # requests that came when their script had no state
    unanswered: int = 0

    def percentile(self, part: float, shortest_s: float, longest_s: float) -> float:
        """Return the sojourn below which this part of such requests stays."""
        return percentile(
            [
                sojourn
                for arrival, sojourn in self.answered
                if shortest_s <= arrival.service_s < longest_s
            ],
            part,
        )


def percentile(times: list[float], part: float) -> float:
    """Return the time below which this part of them stays; 0 of none."""
    ordered = sorted(times)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)] if times else 0.0


@dataclass(slots=True)
class _Job:
    kind: str  # "run", "load", "evict"
    script: int
    work: float
    request: int = 0
    front: int = 0
    epoch: int = 0


class Farm:
    """One run of one trace."""

    def __init__(
        self,
        hosts: int,
        cores: int,
        broker: ControlPlane | None,
        load_s: Callable[[int], float],
        warm_s: float = 0.0,
        fronts: int = 1,
    ) -> None:
        self._cores = Cores(cores)
        self._queues: list[deque[_Job]] = [deque() for _ in range(hosts)]
        self._running: list[_Job | None] = [None] * hosts
        self._states: list[dict[int, int]] = [{} for _ in range(hosts)]
        self._broker = broker
        self._hosts = hosts
        self._fronts = [Front(n, hosts) for n in range(fronts)]
        self._load_s = load_s
        self._warm_s = warm_s
        self._arrivals: dict[int, Arrival] = {}
        self._resident: dict[int, int] = {}
        self._published: set[int] = set()
        self._events: list[tuple[float, int, str, Any]] = []
        self._order = itertools.count()
        self.outcome = Outcome()

    # -- time --------------------------------------------------------------------------

    def _at(self, when: float, kind: str, what: Any) -> None:  # noqa: ANN401
        heapq.heappush(self._events, (when, next(self._order), kind, what))

    def run(self, arrivals: list[Arrival]) -> Outcome:
        """Play the trace to its end and return what happened."""
        for n, arrival in enumerate(arrivals):
            self._arrivals[n] = arrival
        source = iter(enumerate(arrivals))
        upcoming = next(source, None)
        last = arrivals[-1].at + 30.0 if arrivals else 0.0
        if self._broker is not None:
            self._at(0.0, "alive", None)
            self._at(_TICK_S, "tick", None)
        while upcoming is not None or self.outcome_missing(len(arrivals)):
            core_at = self._cores.next_end()
            event_at = self._events[0][0] if self._events else float("inf")
            now = min(core_at, event_at, upcoming[1].at if upcoming else float("inf"))
            if now > last:
                break
            if upcoming is not None and upcoming[1].at <= now:
                self._arrive(now, *upcoming)
                upcoming = next(source, None)
            elif event_at <= now:
                _, _, kind, what = heapq.heappop(self._events)
                self._happen(now, kind, what)
            else:
                self._job_ends(now)
        self.outcome.unanswered = len(self._arrivals)
        return self.outcome

    def outcome_missing(self, total: int) -> bool:
        """Say whether requests are under way."""
        return bool(self._arrivals) and total > 0

    def _happen(self, now: float, kind: str, what: Any) -> None:  # noqa: ANN401
        match kind:
            case "timer":
                front, which = what
                self._obey(now, front, self._fronts[front].timer(now, which))
            case "place":
                front, place = what
                self._obey(now, front, self._fronts[front].placed(now, place))
            case "returned":
                front, request, host = what
                orders = self._fronts[front].returned(now, request, host)
                self._obey(now, front, orders)
            case "replied":
                front, request, host, work = what
                orders = self._fronts[front].replied(now, request, host, work)
                self._obey(now, front, orders)
            case "broker":
                self._to_broker(now, what)
            case "host":
                host, job = what
                self._queues[host].append(job)
                self._start(now, host)
            case "tick":
                self._to_broker(now, ev.Ticked())
                self._at(now + _TICK_S, "tick", None)
            case "alive":
                self._to_broker(now, machines.alive(self._hosts))
                self._at(now + machines.ALIVE_S, "alive", None)
            case _:
                raise ValueError(kind)

    # -- front and broker --------------------------------------------------------------

    def _arrive(self, now: float, n: int, arrival: Arrival) -> None:
        if self._broker is None and arrival.script not in self._published:
            self._published.add(arrival.script)
            hosts = tuple(range(self._hosts))
            place = machines.place(arrival.script, hosts, 1)
            for number, front in enumerate(self._fronts):
                self._obey(now, number, front.placed(now, place))
        elif self._broker is not None and not self._resident.get(arrival.script):
            self.outcome.cold += now >= self._warm_s
        number = n % len(self._fronts)
        orders = self._fronts[number].arrive(now, n, arrival.script)
        self._obey(now, number, orders)

    def _obey(self, now: float, front: int, orders: Orders) -> None:
        for request, name in orders.sent:
            arrival = self._arrivals[request]
            job = _Job("run", arrival.script, arrival.service_s, request, front)
            host = machines.host_number(HostId(name))
            self._at(now + DELAY_S, "host", (host, job))
        for message in orders.told:
            event = machines.said(message, b"%d" % front)
            if event is not None and self._broker is not None:
                self._at(now + DELAY_S, "broker", event)
        for at, which in orders.timers:
            self._at(max(at, now), "timer", (front, which))

    def _to_broker(self, now: float, event: ev.Event) -> None:
        assert self._broker is not None
        for action in self._broker.handle(event, now):
            match action:
                case act.Load(host=name, script=path, epoch=epoch):
                    host, script = machines.host_number(name), machines.number(path)
                    job = _Job("load", script, self._load_s(script), epoch=epoch)
                    self._at(now + DELAY_S, "host", (host, job))
                    self.outcome.loads += now >= self._warm_s
                case act.Drop(name, path, epoch):
                    host, script = machines.host_number(name), machines.number(path)
                    job = _Job("evict", script, 0.0, epoch=epoch)
                    self._at(now + DELAY_S, "host", (host, job))
                    self.outcome.evictions += now >= self._warm_s
                case act.Tell(front, Place() as place):
                    named = [int(front)] if front else range(len(self._fronts))
                    for number in named:
                        self._at(now + DELAY_S, "place", (number, place))
                case _:
                    pass

    # -- hosts -------------------------------------------------------------------------

    def _start(self, now: float, host: int) -> None:
        queue = self._queues[host]
        while queue and self._running[host] is None:
            job = queue.popleft()
            if job.kind == "evict":
                self._evict(now, host, job)
            elif self._is_absent(host, job):
                returned = (job.front, job.request, host)
                self._at(now + DELAY_S, "returned", returned)
            else:
                self._running[host] = job
                self._cores.start(now, host, job.work)

    def _evict(self, now: float, host: int, job: _Job) -> None:
        if self._states[host].get(job.script, job.epoch + 1) <= job.epoch:
            del self._states[host][job.script]
            self._resident[job.script] -= 1
        name, path = machines.host_id(host), machines.path(job.script)
        gone = ev.StateGone(name, path, Epoch(job.epoch), Closing.DROPPED)
        self._at(now + DELAY_S, "broker", gone)

    def _is_absent(self, host: int, job: _Job) -> bool:
        is_run = job.kind == "run" and self._broker is not None
        return is_run and job.script not in self._states[host]

    def _job_ends(self, now: float) -> None:
        host = self._cores.end(now)
        job = self._running[host]
        assert job is not None
        self._running[host] = None
        if job.kind == "load":
            self._loaded(now, host, job)
        else:
            self._answered(now, host, job)
        self._start(now, host)

    def _loaded(self, now: float, host: int, job: _Job) -> None:
        if job.script not in self._states[host]:
            self._resident[job.script] = self._resident.get(job.script, 0) + 1
        self._states[host][job.script] = job.epoch
        self.outcome.loaded.append((now, job.script))
        name, path = machines.host_id(host), machines.path(job.script)
        done = ev.StateLoaded(name, path, Epoch(job.epoch), job.work, _KIB)
        self._at(now + DELAY_S, "broker", done)

    def _answered(self, now: float, host: int, job: _Job) -> None:
        arrival = self._arrivals.pop(job.request)
        reply = (job.front, job.request, host, job.work)
        self._at(now + DELAY_S, "replied", reply)
        if arrival.at >= self._warm_s:
            sojourn = now + DELAY_S - arrival.at
            self.outcome.answered.append((arrival, sojourn))


def central_queue(arrivals: list[Arrival], cores: int) -> Outcome:
    """Return what one queue before all cores would do: first come, first served."""
    outcome = Outcome()
    free = [0.0] * cores
    heapq.heapify(free)
    for arrival in arrivals:
        end = max(heapq.heappop(free), arrival.at) + arrival.service_s
        heapq.heappush(free, end)
        outcome.answered.append((arrival, end - arrival.at))
    return outcome

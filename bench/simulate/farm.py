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

from bench.simulate import interface as say
from bench.simulate.adapter import Front
from bench.simulate.cores import Cores

DELAY_S: Final = 0.000_05
"""One way of a message: half of a measured round trip."""

_TICK_S: Final = 0.1


class ControlPlane(Protocol):
    """The broker, or a policy in its place."""

    def handle(self, now: float, event: Any) -> list[Any]:  # noqa: ANN401 - any vocabulary
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
        names = list(range(hosts))
        self._fronts = [
            Front(say.Config(hosts=names, states=1, clones=1, seed=n + 1))
            for n in range(fronts)
        ]
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
            case "front":
                self._to_front(now, *what)
            case "broker":
                self._to_broker(now, what)
            case "host":
                host, job = what
                self._queues[host].append(job)
                self._start(now, host)
            case "tick":
                self._to_broker(now, say.Tick())
                self._at(now + _TICK_S, "tick", None)
            case _:
                raise ValueError(kind)

    # -- front and broker --------------------------------------------------------------

    def _arrive(self, now: float, n: int, arrival: Arrival) -> None:
        if self._broker is None and arrival.script not in self._published:
            self._published.add(arrival.script)
            hosts = tuple(range(len(self._queues)))
            for front in range(len(self._fronts)):
                self._to_front(now, front, say.Publish(arrival.script, hosts, 1))
        elif self._broker is not None and not self._resident.get(arrival.script):
            self.outcome.cold += now >= self._warm_s
        self._to_front(now, n % len(self._fronts), say.Arrive(n, arrival.script))

    def _to_front(self, now: float, front: int, event: Any) -> None:  # noqa: ANN401
        for action in self._fronts[front].handle(now, event):
            match action:
                case say.Send(request, host):
                    arrival = self._arrivals[request]
                    job = _Job("run", arrival.script, arrival.service_s, request, front)
                    self._at(now + DELAY_S, "host", (host, job))
                case say.SetTimer(at, tag):
                    self._at(max(at, now), "front", (front, say.Timer(tag)))
                case say.ToBroker(said):
                    if self._broker is not None:
                        self._at(now + DELAY_S, "broker", said)
                case _:
                    pass

    def _to_broker(self, now: float, event: Any) -> None:  # noqa: ANN401
        assert self._broker is not None
        for action in self._broker.handle(now, event):
            match action:
                case say.Load(script, host, epoch):
                    job = _Job("load", script, self._load_s(script), epoch=epoch)
                    self._at(now + DELAY_S, "host", (host, job))
                    self.outcome.loads += now >= self._warm_s
                case say.Evict(script, host):
                    self._at(now + DELAY_S, "host", (host, _Job("evict", script, 0.0)))
                    self.outcome.evictions += now >= self._warm_s
                case say.Publish():
                    for front in range(len(self._fronts)):
                        self._at(now + DELAY_S, "front", (front, action))
                case _:
                    pass

    # -- hosts -------------------------------------------------------------------------

    def _start(self, now: float, host: int) -> None:
        queue = self._queues[host]
        while queue and self._running[host] is None:
            job = queue.popleft()
            if job.kind == "evict":
                if self._states[host].pop(job.script, None) is not None:
                    self._resident[job.script] -= 1
                self._at(now + DELAY_S, "broker", say.Gone(job.script, host))
            elif self._is_absent(host, job):
                returned = say.Returned(host, (job.request,))
                self._at(now + DELAY_S, "front", (job.front, returned))
            else:
                self._running[host] = job
                self._cores.start(now, host, job.work)

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
        done = say.Loaded(job.script, host, job.epoch, job.work, 100)
        self._at(now + DELAY_S, "broker", done)

    def _answered(self, now: float, host: int, job: _Job) -> None:
        arrival = self._arrivals.pop(job.request)
        reply = say.Reply(job.request, host, job.work)
        self._at(now + DELAY_S, "front", (job.front, reply))
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

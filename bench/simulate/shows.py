"""The simulations that are printed, each as a table and the targets that it judges.

Figures are means over all seeds, targets are judged by the worst of them.
"""

import statistics
from collections.abc import Callable
from typing import Final

from bench.simulate import crowds, decisions, evictions, farm, machines, workloads
from bench.simulate.evictions import Result
from bench.simulate.farm import Arrival, Farm, Outcome
from bench.simulate.reflex import ReflexBroker
from bench.simulate.tables import table
from bench.simulate.targets import Target
from bench.simulate.traces import Shape, Trace

Shown = tuple[str, list[Target]]
"""(table, targets)"""

_SHAPE: Final = Shape(scripts=2000, seconds=180.0, pollers=50)
_DISPATCH_CORES: Final = 16
_FARM_CORES: Final = 8
_FARM_HOSTS: Final = 32
_FARM_SCRIPTS: Final = 1500
_WARM_S: Final = 10.0
_MS: Final = 1000.0
_LONGEST_S: Final = 10.0
_REFLEX_UNTIL_S: Final = 0.5  # it collapses at once, and simulating that takes long

_LRU: Final = "LRU (luafcgid)"
_ORACLE: Final = "oracle of rates x cost"
_BROKER: Final = "broker"


# ---- evictions -----------------------------------------------------------------------


def show_evictions(seeds: list[int]) -> Shown:
    """Return what each eviction policy costs."""
    return of_traces([Trace(_SHAPE, seed) for seed in seeds])


def of_traces(traces: list[Trace]) -> Shown:
    """Return what each eviction policy costs on these traces."""
    results: dict[str, list[Result]] = {}
    for trace in traces:
        room = max(1, trace.scripts // 4)
        for name in evictions.BASELINES:
            results.setdefault(name, []).append(evictions.baseline(name, trace, room))
        results.setdefault(_BROKER, []).append(evictions.broker(trace, room))

    def mean(name: str, value: Callable[[Result], float]) -> str:
        return f"{statistics.fmean(value(result) for result in results[name]):.3g}"

    rows = [
        [
            name,
            mean(name, lambda r: r.cold_percent),
            mean(name, lambda r: r.cold_ms),
            f"{statistics.fmean(_ratios(results[name], results[_LRU])):.2f}",
            f"{statistics.fmean(_ratios(results[name], results[_ORACLE])):.2f}",
            mean(name, lambda r: r.long_percent),
        ]
        for name in results
    ]
    requests = sum(len(trace.requests) for trace in traces)
    shown = table(
        f"Evictions: room for a quarter of the scripts, {requests} requests",
        ["policy", "cold %", "cold ms/request", "x LRU", "x oracle", "over 10 ms %"],
        rows,
    )
    ours = results[_BROKER]
    return shown, [
        Target("cold waiting, x LRU", 1 / 3, max(_ratios(ours, results[_LRU]))),
        Target("cold waiting, x oracle", 1.4, max(_ratios(ours, results[_ORACLE]))),
    ]


def _ratios(ours: list[Result], others: list[Result]) -> list[float]:
    return [
        one.cold_ms / other.cold_ms if other.cold_ms else 0.0
        for one, other in zip(ours, others, strict=True)
    ]


# ---- dispatch and farms --------------------------------------------------------------


_HEAD: Final = [
    "",
    "short p50 ms",
    "short p99 ms",
    "x first",
    "worst",
    "all p99 ms",
    "x first",
    "loads",
    "lost",
]


class _Runs:
    """Outcomes by name, one of each seed; the first name is what others are held to."""

    def __init__(self) -> None:
        self._outcomes: dict[str, list[Outcome]] = {}

    def add(self, name: str, outcome: Outcome) -> None:
        self._outcomes.setdefault(name, []).append(outcome)

    def short(self, name: str, part: float = 0.99) -> list[float]:
        outcomes = self._outcomes[name]
        return [o.percentile(part, 0.0, workloads.SHORT_S) for o in outcomes]

    def every(self, name: str) -> list[float]:
        return [o.percentile(0.99, 0.0, _LONGEST_S) for o in self._outcomes[name]]

    def worst(self, name: str) -> float:
        """Return p99 of short requests relative to the first, of the worst seed."""
        first = self.short(next(iter(self._outcomes)))
        pairs = zip(self.short(name), first, strict=True)
        return max(one / other for one, other in pairs)

    def rows(self) -> list[list[str]]:
        """Return the means as rows of a table."""
        first = next(iter(self._outcomes))
        mean = statistics.fmean
        least_short, least = mean(self.short(first)), mean(self.every(first))
        return [
            [
                name,
                f"{mean(self.short(name, 0.5)) * _MS:.2f}",
                f"{mean(self.short(name)) * _MS:.2f}",
                f"{mean(self.short(name)) / least_short:.3f}",
                f"{self.worst(name):.3f}",
                f"{mean(self.every(name)) * _MS:.1f}",
                f"{mean(self.every(name)) / least:.2f}",
                f"{mean(o.loads for o in outcomes):.0f}",
                str(sum(o.unanswered for o in outcomes)),
            ]
            for name, outcomes in self._outcomes.items()
        ]


def show_dispatch(seeds: list[int]) -> Shown:
    """Return how fronts compare with one ideal queue before all cores."""
    runs = _Runs()
    cores = _DISPATCH_CORES
    for seed in seeds:
        scripts = workloads.mixed(200, seed)
        trace = workloads.arrivals(scripts, cores, 0.8, 8.0, seed)
        ideal = farm.central_queue(trace, cores)
        runs.add("one queue before all cores, first come first served", ideal)
        for hosts, fronts in ((1, 1), (2, 1), (4, 1), (4, 4)):
            outcome = Farm(cores * hosts, cores, None, lambda _: 0.0, fronts=fronts)
            runs.add(_named(hosts, fronts), outcome.run(trace))
    title = f"Dispatch: {cores} cores, 80 % busy, 10 us to 0.5 s"
    return table(title, _HEAD, runs.rows()), [
        Target("dispatch, one VM host a core, x ideal", 1.0, runs.worst(_named(1, 1))),
        Target("dispatch, several, x ideal", 0.1, runs.worst(_named(4, 1))),
        Target("dispatch, four fronts, x ideal", 0.1, runs.worst(_named(4, 4))),
    ]


def _named(hosts: int, fronts: int) -> str:
    front = "one front" if fronts == 1 else f"{fronts} fronts"
    return f"{front}, {hosts} VM host{'s' if hosts > 1 else ''} a core"


def show_farm(seeds: list[int]) -> Shown:
    """Return how a farm with little room compares with one that has room for all."""
    runs = _Runs()
    for seed in seeds:
        scripts = workloads.mixed(_FARM_SCRIPTS, seed)
        trace = workloads.arrivals(scripts, _FARM_CORES, 0.6, 2 * _WARM_S, seed)
        _farms(runs, scripts, trace)
    title = f"Farm: {_FARM_CORES} cores, {_FARM_HOSTS} hosts, 60 % busy"
    return table(title, _HEAD, runs.rows()), [
        Target("mixed farm, room 1.3, x everywhere", 1.5, runs.worst(_roomy(1.3))),
        Target("mixed farm, room 0.8, x everywhere", 5.0, runs.worst(_roomy(0.8))),
    ]


def _farms(runs: _Runs, scripts: workloads.Scripts, trace: list[Arrival]) -> None:
    def load_s(script: int) -> float:
        return scripts.load_s[script]

    everywhere = Farm(_FARM_HOSTS, _FARM_CORES, None, load_s, _WARM_S)
    runs.add("every script on every host", everywhere.run(trace))
    for part in (1.3, 0.8):
        states = int(part * _FARM_SCRIPTS)
        broker = machines.broker(_FARM_HOSTS, states, clones=32, cores=_FARM_CORES)
        ours = Farm(_FARM_HOSTS, _FARM_CORES, broker, load_s, _WARM_S)
        runs.add(_roomy(part), ours.run(trace))
    early = [arrival for arrival in trace if arrival.at < _REFLEX_UNTIL_S]
    reflex = ReflexBroker(_FARM_HOSTS, int(1.3 * _FARM_SCRIPTS), 32)
    name = f"luafcgid's rules, first {_REFLEX_UNTIL_S:.1f} s"
    runs.add(name, Farm(_FARM_HOSTS, _FARM_CORES, reflex, load_s, 0.0).run(early))


def _roomy(part: float) -> str:
    return f"broker, {part} states a script"


# ---- crowds --------------------------------------------------------------------------


def show_crowds(seeds: list[int]) -> Shown:
    """Return how sudden crowds are served, and what the others feel of them."""
    received: dict[str, list[crowds.Reception]] = {}
    for seed in seeds:
        received.setdefault("nobody", []).append(crowds.receive(None, seed))
        for crowd in (*crowds.CROWDS, crowds.FLOOD):
            received.setdefault(crowd.name, []).append(crowds.receive(crowd, seed))

    def worst(name: str, value: Callable[[crowds.Reception], float]) -> float:
        return max(value(reception) for reception in received[name])

    rows = [
        [
            name,
            f"{worst(name, lambda r: r.states):.0f}",
            f"{worst(name, lambda r: r.longest_s) * _MS:.1f}",
            f"{worst(name, lambda r: r.calm_s) * _MS:.0f}",
            f"{worst(name, lambda r: r.others_p99_s) * _MS:.1f}",
            f"{worst(name, lambda r: r.unanswered):.0f}",
        ]
        for name in received
    ]
    head = ["who comes", "states", "longest wait ms", "until calm ms"]
    shown = table(
        f"Crowds: {crowds.CORES} cores, {crowds.HOSTS} hosts, 30 % busy with others",
        [*head, "others' short p99 ms", "lost"],
        rows,
    )
    longest = max(worst(crowd.name, lambda r: r.longest_s) for crowd in crowds.CROWDS)
    flood = worst(crowds.FLOOD.name, lambda r: r.others_p99_s)
    states = worst(crowds.FLOOD.name, lambda r: r.states)
    return shown, [
        Target("flash crowds: longest wait", 50.0, longest * _MS, " ms"),
        Target("flood: short p99 of all others", 10.0, flood * _MS, " ms"),
        Target("flood: hosts that it takes", crowds.HOSTS / 2, states),
    ]


# ---- decisions -----------------------------------------------------------------------


def show_decisions(_seeds: list[int]) -> Shown:
    """Return what one decision costs."""
    costs = decisions.measure(events=10_000)
    rows = [
        [
            cost.name,
            str(cost.decisions),
            f"{cost.mean_us:.1f}",
            f"{cost.p99_us:.1f}",
            f"{cost.worst_us:.0f}",
        ]
        for cost in costs
    ]
    how = "compiled" if decisions.is_compiled() else "plain Python"
    shown = table(
        f"Decisions: 20,000 states on 1000 hosts, {how}, CPU time",
        ["event", "number", "mean us", "p99 us", "worst us"],
        rows,
    )
    if not decisions.is_compiled():
        return shown, []
    (mean_us,) = [cost.mean_us for cost in costs if cost.name == decisions.ALL]
    return shown, [Target("one decision", 50.0, mean_us, " us")]


SHOWS: Final[dict[str, Callable[[list[int]], Shown]]] = {
    "evictions": show_evictions,
    "dispatch": show_dispatch,
    "farm": show_farm,
    "crowds": show_crowds,
    "decisions": show_decisions,
}

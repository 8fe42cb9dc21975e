"""`python -m bench.simulate`: the policies against others, as tables, in two minutes.

--seeds 1,2,3   more runs of everything
--only NAME     evictions, dispatch, farm or decisions
--trace FILE    evictions on what a broker recorded ([broker] record) instead
"""

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.simulate import decisions, evictions, farm, workloads
from bench.simulate import interface as say
from bench.simulate.adapter import Broker
from bench.simulate.evictions import Result
from bench.simulate.farm import Arrival, Farm, Outcome
from bench.simulate.reflex import ReflexBroker
from bench.simulate.tables import ratio, table
from bench.simulate.traces import Recorded, Shape, Trace

_SHAPE: Final = Shape(seconds=240.0)
_DISPATCH_CORES: Final = 16
_FARM_CORES: Final = 8
_FARM_HOSTS: Final = 32
_FARM_SCRIPTS: Final = 1500
_MS: Final = 1000.0


def show_evictions(traces: list[Trace]) -> str:
    """Return what each eviction policy costs, the mean over all traces."""
    results: dict[str, list[Result]] = {}
    for trace in traces:
        room = trace.scripts // 4
        for name in evictions.BASELINES:
            results.setdefault(name, []).append(evictions.baseline(name, trace, room))
        results.setdefault("broker", []).append(evictions.broker(trace, room))

    def mean(name: str, value: Callable[[Result], float]) -> float:
        return statistics.fmean(value(result) for result in results[name])

    lru = mean("LRU (luafcgid)", lambda r: r.cold_ms)
    oracle = mean("oracle of rates x cost", lambda r: r.cold_ms)
    rows = [
        [
            name,
            f"{mean(name, lambda r: r.cold_percent):.1f}",
            f"{mean(name, lambda r: r.cold_ms):.3f}",
            ratio(mean(name, lambda r: r.cold_ms), lru),
            ratio(mean(name, lambda r: r.cold_ms), oracle),
            f"{mean(name, lambda r: r.long_percent):.2f}",
        ]
        for name in results
    ]
    requests = sum(len(trace.requests) for trace in traces)
    return table(
        f"Evictions: room for a quarter of the scripts, {requests} requests",
        ["policy", "cold %", "cold ms/request", "x LRU", "x oracle", "over 10 ms %"],
        rows,
    )


def _row(name: str, outcome: Outcome, bound: Outcome) -> list[str]:
    short = outcome.percentile(0.99, 0.0, workloads.SHORT_S)
    every = outcome.percentile(0.99, 0.0, 10.0)
    least_short = bound.percentile(0.99, 0.0, workloads.SHORT_S)
    least = bound.percentile(0.99, 0.0, 10.0)
    return [
        name,
        f"{outcome.percentile(0.5, 0.0, workloads.SHORT_S) * _MS:.2f}",
        f"{short * _MS:.2f}",
        ratio(short, least_short),
        f"{every * _MS:.1f}",
        ratio(every, least),
        str(outcome.loads),
        str(outcome.unanswered),
    ]


_HEAD: Final = [
    "",
    "short p50 ms",
    "short p99 ms",
    "x first",
    "all p99 ms",
    "x first",
    "loads",
    "lost",
]


def show_dispatch(seed: int) -> str:
    """Return how the front compares with one ideal queue before all cores."""
    scripts = workloads.mixed(200, seed)
    cores = _DISPATCH_CORES
    trace = workloads.arrivals(scripts, cores, 0.8, 15.0, seed)
    ideal = farm.central_queue(trace, cores)
    rows = [_row("central queue, first come first served", ideal, ideal)]
    for each in (1, 2, 4):
        outcome = Farm(cores * each, cores, None, lambda _: 0.0).run(trace)
        rows.append(_row(f"front, {each} VM hosts a core", outcome, ideal))
    title = f"Dispatch: {cores} cores, 80 % busy, 10 us to 0.5 s, seed {seed}"
    return table(title, _HEAD, rows)


def show_farm(seed: int) -> str:
    """Return how a farm with little room compares with one that has room for all."""
    scripts = workloads.mixed(_FARM_SCRIPTS, seed)
    trace = workloads.arrivals(scripts, _FARM_CORES, 0.6, 30.0, seed)

    def load_s(script: int) -> float:
        return scripts.load_s[script]

    def run(broker: farm.ControlPlane | None, arrivals: list[Arrival]) -> Outcome:
        return Farm(_FARM_HOSTS, _FARM_CORES, broker, load_s, 15.0).run(arrivals)

    hosts = list(range(_FARM_HOSTS))
    everywhere = run(None, trace)
    rows = [_row("every script on every host", everywhere, everywhere)]
    for part in (1.3, 0.8):
        states = int(part * _FARM_SCRIPTS)
        config = say.Config(hosts=hosts, states=states, clones=32, cores=_FARM_CORES)
        outcome = run(Broker(config), trace)
        rows.append(_row(f"broker, {part} states a script", outcome, everywhere))
    early = [arrival for arrival in trace if arrival.at < _REFLEX_UNTIL_S]
    reflex = ReflexBroker(_FARM_HOSTS, int(1.3 * _FARM_SCRIPTS), 32)
    outcome = Farm(_FARM_HOSTS, _FARM_CORES, reflex, load_s, 0.0).run(early)
    rows.append(
        _row(f"luafcgid's rules, first {_REFLEX_UNTIL_S:.0f} s", outcome, everywhere)
    )
    title = f"Farm: {_FARM_CORES} cores, {_FARM_HOSTS} hosts, 60 % busy, seed {seed}"
    return table(title, _HEAD, rows)


_REFLEX_UNTIL_S: Final = 1.0  # it collapses at once, and simulating that takes long


def show_decisions() -> str:
    """Return what one decision costs."""
    rows = [
        [
            cost.name,
            str(cost.decisions),
            f"{cost.mean_us:.1f}",
            f"{cost.p99_us:.1f}",
            f"{cost.worst_us:.0f}",
        ]
        for cost in decisions.measure(events=10_000)
    ]
    how = "compiled" if decisions.is_compiled() else "plain Python"
    return table(
        f"Decisions: 20,000 states on 1000 hosts, {how}, CPU time",
        ["event", "number", "mean us", "p99 us", "worst us"],
        rows,
    )


def main() -> None:
    """Run what was asked for and print it."""
    parser = argparse.ArgumentParser(prog="python -m bench.simulate")
    parser.add_argument("--seeds", default="1")
    parser.add_argument(
        "--only", choices=["evictions", "dispatch", "farm", "decisions"]
    )
    parser.add_argument("--trace", type=Path)
    arguments = parser.parse_args()
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    if arguments.trace:
        print(show_evictions([Recorded(arguments.trace)]))
        return
    parts = [arguments.only] if arguments.only else ["evictions", "dispatch", "farm"]
    if "evictions" in parts:
        print(show_evictions([Trace(_SHAPE, seed) for seed in seeds]), flush=True)
    for seed in seeds:
        if "dispatch" in parts:
            print(show_dispatch(seed), flush=True)
        if "farm" in parts:
            print(show_farm(seed), flush=True)
    if not arguments.only or "decisions" in parts:
        print(show_decisions())


if __name__ == "__main__":
    main()

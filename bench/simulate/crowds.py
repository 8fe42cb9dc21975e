"""A farm with its daily work, and what happens when everybody wants one script."""

from dataclasses import dataclass
from typing import Final

from bench.simulate import machines, workloads
from bench.simulate.farm import Arrival, Farm, Outcome, percentile

CORES: Final = 8
HOSTS: Final = 32

_SCRIPTS: Final = 300
_BUSY: Final = 0.3  # by the daily work
_BEGINS_S: Final = 3.0
_LASTS_S: Final = 2.0
_CALM_S: Final = 0.010  # beyond what loading takes: longer is a queue
_BUCKET_S: Final = 0.005


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who comes: one request per second, then suddenly many, for one script."""

    name: str
    rate: float
    service_s: float
    load_s: float
    is_known: bool = True  # it is loaded when they come


CROWDS: Final = (
    Crowd("1 to 2000/s, 0.5 ms, loads in 2 ms", 2000.0, 0.0005, 0.002),
    Crowd("1 to 8000/s, 0.4 ms, loads in 2 ms", 8000.0, 0.0004, 0.002),
    Crowd("1 to 2000/s, 0.5 ms, loads in 20 ms", 2000.0, 0.0005, 0.020),
    Crowd("0 to 2000/s, 0.5 ms, loads in 5 ms", 2000.0, 0.0005, 0.005, False),
)

FLOOD: Final = Crowd("flood: twice what the farm can", 16_000.0, 0.001, 0.002)


@dataclass(frozen=True, slots=True)
class Reception:
    """How a crowd was received, and what it cost the others."""

    calm_s: float  # until requests of the crowd wait no longer, from its first
    longest_s: float
    states: int
    crowd_p99_s: float
    others_p99_s: float  # short ones, meanwhile
    unanswered: int


def receive(crowd: Crowd | None, seed: int) -> Reception:
    """Let the crowd come; None: nobody comes."""
    daily = workloads.mixed(_SCRIPTS, seed)
    ends_s = _BEGINS_S + _LASTS_S
    trace = workloads.arrivals(daily, CORES, _BUSY, ends_s, seed)
    if crowd is not None:
        trace += _arrivals(crowd, ends_s)
        trace.sort(key=lambda arrival: arrival.at)

    def load_s(script: int) -> float:
        if script == _SCRIPTS and crowd is not None:
            return crowd.load_s
        return daily.load_s[script]

    broker = machines.broker(HOSTS, states=2 * _SCRIPTS, clones=32, cores=CORES)
    outcome = Farm(HOSTS, CORES, broker, load_s).run(trace)
    load = crowd.load_s if crowd is not None else 0.0
    return _reception(outcome, _CALM_S + load)


def _arrivals(crowd: Crowd, ends_s: float) -> list[Arrival]:
    found: list[Arrival] = []
    if crowd.is_known:
        found += [Arrival(float(n), _SCRIPTS, crowd.service_s) for n in range(3)]
    at = _BEGINS_S
    while at < ends_s:
        found.append(Arrival(at, _SCRIPTS, crowd.service_s))
        at += 1.0 / crowd.rate
    return found


def _reception(outcome: Outcome, calm_s: float) -> Reception:
    crowd = [
        (arrival.at - _BEGINS_S, sojourn - arrival.service_s)
        for arrival, sojourn in outcome.answered
        if arrival.script == _SCRIPTS and arrival.at >= _BEGINS_S
    ]
    buckets: dict[int, float] = {}
    for at, wait_s in crowd:
        bucket = int(at / _BUCKET_S)
        buckets[bucket] = max(buckets.get(bucket, 0.0), wait_s)
    crowded = [bucket for bucket, wait_s in buckets.items() if wait_s > calm_s]
    others = [
        sojourn
        for arrival, sojourn in outcome.answered
        if arrival.script != _SCRIPTS
        and arrival.at >= _BEGINS_S
        and arrival.service_s < workloads.SHORT_S
    ]
    return Reception(
        calm_s=(max(crowded) + 1) * _BUCKET_S if crowded else 0.0,
        longest_s=max((wait_s for _, wait_s in crowd), default=0.0),
        states=sum(script == _SCRIPTS for _, script in outcome.loaded),
        crowd_p99_s=percentile([wait_s for _, wait_s in crowd], 0.99),
        others_p99_s=percentile(others, 0.99),
        unanswered=outcome.unanswered,
    )

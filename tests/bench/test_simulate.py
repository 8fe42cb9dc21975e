"""The simulations themselves: traces, policies, and farms that are played."""

import pytest

from bench.simulate import evictions, machines, workloads
from bench.simulate.caches import (
    Belady,
    Gdsf,
    Lfu,
    Lru,
    Policy,
    RateOracle,
    S3Fifo,
    Sieve,
    WTinyLfu,
)
from bench.simulate.farm import Farm, central_queue
from bench.simulate.reflex import ReflexBroker
from bench.simulate.traces import Shape, Trace

SMALL = Shape(scripts=300, rate=100.0, seconds=60.0, pollers=10)


def test_every_policy_returns_each_resident_once() -> None:
    trace = Trace(SMALL, 1)
    policies: list[Policy] = [
        Lru(),
        Lfu(),
        Gdsf(trace),
        Sieve(),
        S3Fifo(50),
        WTinyLfu(50),
        RateOracle(trace),
        Belady(trace),
    ]
    for policy in policies:
        resident: set[int] = set()
        for now, script in trace.requests:
            if script in resident:
                policy.hit(script, now)
                continue
            if len(resident) >= 50:
                resident.remove(policy.victim(now))
            resident.add(script)
            policy.add(script, now)
        assert len({policy.victim(99.0) for _ in range(50)}) == 50, policy


def test_a_trace_is_the_same_for_a_seed_and_in_order_of_time() -> None:
    trace = Trace(SMALL, 3)
    assert trace.requests == Trace(SMALL, 3).requests
    assert trace.requests != Trace(SMALL, 4).requests
    assert trace.requests == sorted(trace.requests)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_broker_saves_most_of_the_waiting_that_lru_costs(seed: int) -> None:
    trace = Trace(SMALL, seed)
    lru = evictions.baseline("LRU (luafcgid)", trace, 75)
    ours = evictions.broker(trace, 75)
    assert ours.cold_ms < lru.cold_ms / 2


def test_dispatch_is_no_worse_than_a_central_queue_for_short_requests() -> None:
    scripts = workloads.mixed(50, 1)
    trace = workloads.arrivals(scripts, 4, 0.8, 5.0, 1)
    ideal = central_queue(trace, 4).percentile(0.99, 0.0, workloads.SHORT_S)
    one = Farm(4, 4, None, lambda _: 0.0).run(trace)
    several = Farm(16, 4, None, lambda _: 0.0).run(trace)
    assert one.percentile(0.99, 0.0, workloads.SHORT_S) <= ideal
    assert several.percentile(0.99, 0.0, workloads.SHORT_S) <= ideal / 10
    assert one.unanswered == several.unanswered == 0


def test_a_farm_with_little_room_answers_every_request() -> None:
    scripts = workloads.mixed(100, 1)
    trace = workloads.arrivals(scripts, 4, 0.6, 5.0, 1)
    broker = machines.broker(16, states=80, clones=8, cores=4)
    outcome = Farm(16, 4, broker, lambda n: scripts.load_s[n]).run(trace)
    assert outcome.unanswered == 0
    assert len(outcome.answered) == len(trace)
    assert outcome.evictions > 0


def test_several_fronts_that_do_not_see_each_other_share_the_hosts() -> None:
    scripts = workloads.mixed(50, 2)
    trace = workloads.arrivals(scripts, 4, 0.6, 5.0, 2)
    broker = machines.broker(16, states=80, clones=8, cores=4)
    farm = Farm(16, 4, broker, lambda n: scripts.load_s[n], fronts=3)
    outcome = farm.run(trace)
    assert outcome.unanswered == 0
    assert len(outcome.answered) == len(trace)


def test_the_same_trace_gives_the_same_run() -> None:
    scripts = workloads.mixed(50, 3)
    trace = workloads.arrivals(scripts, 4, 0.6, 3.0, 3)
    runs = [
        Farm(
            16,
            4,
            machines.broker(16, states=40, clones=8, cores=4),
            lambda n: scripts.load_s[n],
            fronts=2,
        ).run(trace)
        for _ in range(2)
    ]
    assert runs[0] == runs[1]


def test_clones_by_reflex_answer_every_request_as_well() -> None:
    scripts = workloads.mixed(50, 4)
    trace = workloads.arrivals(scripts, 4, 0.3, 2.0, 4)
    outcome = Farm(16, 4, ReflexBroker(16, 80, 8), lambda n: scripts.load_s[n]).run(
        trace
    )
    assert outcome.unanswered == 0

"""The simulations that are printed, and what they are judged by."""

import json
from pathlib import Path

import pytest

from bench.simulate import crowds, evictions, shows
from bench.simulate.caches import S3Fifo
from bench.simulate.targets import Target
from bench.simulate.traces import Recorded, Shape, Trace


@pytest.mark.parametrize(("result", "word"), [(1.4, "met"), (1.41, "MISSED")])
def test_a_target_stands_beside_its_result(result: float, word: str) -> None:
    row = Target("x", 1.4, result, " ms").row()
    assert row == ["x", "1.4 ms", f"{result:.3g} ms", word]


def test_evictions_are_judged_by_the_worst_trace() -> None:
    shape = Shape(scripts=200, rate=80.0, seconds=60.0, pollers=5)
    traces = [Trace(shape, seed) for seed in (1, 2)]
    shown, targets = shows.of_traces(traces)
    assert all(name in shown for name in evictions.BASELINES)
    ratios = [
        evictions.broker(trace, trace.scripts // 4).cold_ms
        / evictions.baseline("LRU (luafcgid)", trace, trace.scripts // 4).cold_ms
        for trace in traces
    ]
    assert targets[0].result == pytest.approx(max(ratios))


def test_half_lives_follow_a_farm_that_is_seldom_asked() -> None:
    """Remember uses for as long as states stay, and rates can be told apart."""
    shape = Shape(scripts=400, rate=3.0, seconds=4000.0, pollers=0, scans=0)
    trace = Trace(shape, 1)
    oracle = evictions.baseline("oracle of rates x cost", trace, 100)
    assert evictions.broker(trace, 100).cold_ms < 1.6 * oracle.cold_ms


def test_s3_fifo_spares_what_comes_back() -> None:
    policy = S3Fifo(10)
    for script in range(10):
        policy.add(script, 0.0)
    assert [policy.victim(0.0) for _ in range(3)] == [0, 1, 2]
    policy.add(0, 0.0)  # remembered
    policy.hit(0, 0.0)
    policy.add(99, 0.0)  # never seen
    assert 0 not in [policy.victim(0.0) for _ in range(7)]


def test_a_crowd_is_served_by_clones_and_the_others_hardly_notice() -> None:
    nobody = crowds.receive(None, 1)
    received = crowds.receive(crowds.CROWDS[1], 1)
    assert received.unanswered == 0
    assert received.states > 3
    assert received.longest_s < 0.05
    assert received.others_p99_s < nobody.others_p99_s + 0.005


def test_a_flood_does_not_get_all_hosts() -> None:
    flood = crowds.Crowd("flood", 12_000.0, 0.001, 0.002)
    received = crowds.receive(flood, 1)
    assert received.states <= crowds.HOSTS * 3 // 4
    assert received.others_p99_s < 0.02


def test_a_recorded_trace_is_replayed(tmp_path: Path) -> None:
    file = tmp_path / "trace"
    lines = [
        {"script": "/a", "at": 1.0, "load_s": 0.01, "kib": 5},
        {"script": "/b", "at": 3.0, "requests": 1},
        {"script": "/a", "at": 2.0, "requests": 2},
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "ascii")
    trace = Recorded(file)
    assert trace.requests == [(2.0, 0), (2.0, 0), (3.0, 1)]
    assert trace.load_s[0] == 0.01
    shown, _ = shows.of_traces([trace])
    assert "broker" in shown

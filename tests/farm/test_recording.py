"""LUAFARM_RECORD: what a live farm did is played again by the simulator."""

from pathlib import Path

import pytest

from bench.simulate import shows
from bench.simulate.traces import Recorded
from tests.farm.client import ask
from tests.farm.farms import until, up

pytestmark = pytest.mark.process

FILES = {f"s{n}.lua": "function main(env, con) con:puts('x') end" for n in range(6)}


def test_what_a_farm_served_is_recorded_and_simulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUAFARM_RECORD", str(tmp_path / "trace"))
    asked = [n * n % 6 for n in range(40)] + [0] * 20
    with up("[broker]\nstates = 4\n", files=FILES) as farm:
        for n in asked:
            assert ask(farm.socket, farm.root / f"s{n}.lua").body == b"x"
        until(
            lambda: farm.script("s0.lua").get("requests") == asked.count(0),
            "the last one is reported",
        )
        farm.daemons["up"].stop()
        trace = Recorded(tmp_path / "trace")
    served = [name for name in trace.names if name.endswith(".lua")]
    assert len(served) == len(set(asked))
    assert len(trace.requests) == len(asked)
    most = max(set(asked), key=asked.count)
    counted = [n for _, n in trace.requests]
    assert trace.names[max(set(counted), key=counted.count)].endswith(f"s{most}.lua")
    assert all(load_s > 0 for load_s in trace.load_s)
    shown, targets = shows.of_traces([trace])
    assert "broker" in shown
    assert len(targets) == 2

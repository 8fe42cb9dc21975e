"""More scripts than states behind a real nginx, and the simulator beside it."""

import pytest

from bench.live import zipf
from bench.live.zipf import Shape
from tests.farm.farms import behind_nginx, during, up

pytestmark = pytest.mark.process

SHAPE = Shape(seconds=8.0, rate=120.0)
HOSTS = 4


def test_with_little_room_no_request_fails_and_cold_starts_are_as_simulated() -> None:
    settings = f"[broker]\nstates = {SHAPE.states}\nclones = 1\n"
    with up(settings, hosts=HOSTS) as farm:
        zipf.write(farm.root, SHAPE)
        seen: list[tuple[int, int]] = []

        def look() -> None:
            status = farm.status()
            held = sum(host["states"] for host in status["hosts"])
            seen.append((status["states"], held))

        with behind_nginx(farm) as port, during(look):
            outcome = zipf.live(port, SHAPE)
    assert outcome.failed == []
    assert seen
    assert all(states <= SHAPE.states and held <= SHAPE.states for states, held in seen)
    # the benchmark asks for 10 %; here the machine may be busy with anything
    expected = zipf.simulated(SHAPE, HOSTS, 2)
    assert 0.6 * expected < outcome.ratio < 1.6 * expected

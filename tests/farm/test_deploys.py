"""Deploys under load: nothing fails, nothing is mixed, nothing old comes after new."""

from collections.abc import Iterator

import pytest

from bench.live import sites
from bench.live.deploys import Deploys
from tests.farm.farms import Farm, behind_nginx, up

pytestmark = pytest.mark.process

# A machine that is busy may keep whoever deploys waiting in the middle of it.
SETTLE = '[broker]\nsettle = "500 ms"\n'
CLONES = '[[script]]\npattern = "file.lua"\nmin_clones = 3\n'


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with up(SETTLE + CLONES) as running:
        yield running


@pytest.fixture(scope="module")
def port(farm: Farm) -> Iterator[int]:
    with behind_nginx(farm) as found:
        yield found


def test_no_deploy_is_seen_by_half_or_undone(farm: Farm, port: int) -> None:
    deploys = Deploys(port, farm.root, clients=6, files=200, settle_s=0.5)
    with deploys.load():
        deploys.rounds(10)
        deploys.broken(
            len(sites.BROKEN), lambda: farm.status()["counts"].get("last_good", 0)
        )
    outcome = deploys.outcome
    assert outcome.is_clean, str(outcome)
    assert sum(map(len, outcome.delays.values())) == 10 + 1
    assert outcome.broken == len(sites.BROKEN)
    assert outcome.requests > 100

"""Lanes and the choice of hosts."""

import pytest

from broker.roster import Roster
from broker.tables import KEPT, QUICK, SLOW
from tests.broker.paper import Paper


def lanes(number: int) -> list[int]:
    roster = Roster()
    paper = Paper()
    ups = [paper.host_up(f"h{n}") for n in range(number)]
    for up in ups:
        roster.know(roster.join(up, 0.0))
    roster.check()
    return [roster.hosts[up.host].lane for up in ups]


@pytest.mark.parametrize("number", range(1, 40))
def test_half_of_the_hosts_are_slow_and_never_more(number: int) -> None:
    assert lanes(number).count(SLOW) == number // 2


@pytest.mark.parametrize("number", range(1, 40))
def test_one_host_of_two_or_more_is_kept(number: int) -> None:
    assert lanes(number).count(KEPT) == (number > 1)


@pytest.mark.parametrize("cores", [2, 4, 8])
def test_hosts_that_are_bound_in_turn_give_each_core_both_lanes(cores: int) -> None:
    found = lanes(cores * 4)
    for core in range(cores):
        assert SLOW in found[core::cores]
        assert {QUICK, KEPT} & set(found[core::cores])
        assert SLOW in found[core * 4 : core * 4 + 4]
        assert {QUICK, KEPT} & set(found[core * 4 : core * 4 + 4])


def test_a_host_with_states_stays_in_its_lane() -> None:
    paper = Paper()
    paper.write(b"/r/a.lua")
    paper.join("h0", "h1", "h2")
    before = {h.id: h.lane for h in paper.broker.farm.roster.hosts.values()}
    for _ in range(3):
        paper.miss(b"/r/a.lua", "h2")
    paper.join("h3")
    after = {h.id: h.lane for h in paper.broker.farm.roster.hosts.values()}
    assert before.items() <= after.items()

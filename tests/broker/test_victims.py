"""The order of worth: decay without timers, a heap that always knows its least."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.heat import STAYS, Fading, Heat, key, worth
from broker.tables import Generation, Host, Policy, Record, State
from broker.victims import PoolVictims, Victims
from luafarm.names import Epoch, HostId, Machine, Pool, Script
from luafarm.wire.messages import Limits
from tests.broker.paper import Paper


def test_heat_halves_in_each_half_life() -> None:
    heat = Heat()
    heat.add(8.0, 0.0)
    assert heat.now(1.0) == 4.0
    heat.add(1.0, 2.0)
    assert heat.now(2.0) == 3.0


def test_a_late_report_counts_as_old_as_it_is() -> None:
    heat = Heat()
    heat.add(2.0, 4.0)
    heat.add(4.0, 3.0)
    assert heat.now(4.0) == 4.0
    assert heat.now(5.0) == 2.0


def test_half_lives_get_longer_when_states_stay_long_and_shorter_again() -> None:
    fading = Fading(60.0, 0.0)
    for n in range(1000):
        fading.stayed(5.0, float(n))
    assert fading.half_life_s == 60.0
    for n in range(1000, 2000):
        fading.stayed(100.0, float(n))
    assert fading.half_life_s == pytest.approx(STAYS * 100.0, rel=0.01)
    for n in range(2000, 3000):
        fading.stayed(1e9, float(n))
    assert fading.half_life_s == 3600.0
    for n in range(3000, 6000):
        fading.stayed(1.0, float(n))
    assert fading.half_life_s == 60.0


@given(st.lists(st.tuples(st.floats(0.0, 100.0), st.floats(0.0, 1000.0)), max_size=30))
def test_time_in_half_lives_never_goes_back(stays: list[tuple[float, float]]) -> None:
    fading = Fading(60.0, 5.0)
    now = 5.0
    before = fading.at(now)
    assert before == 0.0
    for pause_s, stay_s in stays:
        now += pause_s
        lived = fading.at(now)
        assert lived >= before
        fading.stayed(stay_s, now)
        assert fading.at(now) == lived
        before = lived


times = st.floats(0.0, 20.0)
uses = st.lists(st.tuples(times, st.floats(0.1, 100.0)), min_size=1, max_size=8)


@given(uses, uses, st.floats(20.0, 60.0))
def test_the_order_of_keys_is_the_order_of_worths_at_any_later_time(
    one: list[tuple[float, float]], other: list[tuple[float, float]], now: float
) -> None:
    heats = []
    for history in (one, other):
        heat = Heat()
        for at, amount in sorted(history):
            heat.add(amount, at)
        heats.append(heat)
    keys = [key(heat, 0.01) for heat in heats]
    worths = [heat.now(now) * 0.01 for heat in heats]
    if abs(worths[0] - worths[1]) > 1e-6 * max(worths):
        assert (keys[0] < keys[1]) == (worths[0] < worths[1])
    assert abs(worth(keys[0], now) - worths[0]) <= 1e-6 * worths[0]


def a_state(serial: int, pool: str = "p") -> State:
    limits = Limits(0, 0, 0, 0, 0, 0, 0, 0, fresh=False)
    policy = Policy(limits, 1, 1, 0, 0.0)
    record = Record(Script(b"/s%d" % serial), Pool(pool), policy)
    host = Host(Paper().host_up(f"h{serial}"), 0)
    assert (host.id, host.up.machine) == (HostId(f"h{serial}"), Machine("m"))
    return State(record, host, Generation(Epoch(1), b""), Epoch(1), serial, 0.0)


steps = st.lists(
    st.tuples(st.integers(0, 9), st.one_of(st.none(), st.integers(-5, 5))), max_size=80
)


@given(steps)
def test_the_heap_is_a_sorted_list_by_key_then_age(
    moves: list[tuple[int, int | None]],
) -> None:
    states = [a_state(i) for i in range(10)]
    victims = Victims()
    model: dict[int, int] = {}
    for i, new_key in moves:
        if new_key is None:
            victims.remove(states[i])
            model.pop(i, None)
        else:
            victims.put(states[i], float(new_key))
            model[i] = new_key
        victims.check()
        assert len(victims) == len(model)
        least = victims.least()
        expected = min(((k, i) for i, k in model.items()), default=None)
        assert (least.serial if least else None) == (expected[1] if expected else None)


def test_a_pool_that_is_full_spares_the_states_of_others() -> None:
    victims = PoolVictims()
    own, other, newcomer = a_state(1), a_state(2, "other"), a_state(3)
    assert victims.least_but(newcomer.record, own_pool=True) is None
    victims.put(other, 1.0)
    victims.put(own, 2.0)
    assert victims.least_but(newcomer.record, own_pool=True) is own
    assert victims.least_but(newcomer.record, own_pool=False) is other
    victims.remove(other)
    assert victims.least_but(newcomer.record, own_pool=False) is own
    victims.check()

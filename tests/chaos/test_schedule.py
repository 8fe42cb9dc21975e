"""What is drawn from a seed."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chaos import mix
from tests.chaos.faults import FAULTS
from tests.chaos.kinds import KINDS, Lane, chosen
from tests.chaos.schedule import QUIET_S, timeline

SEEDS = st.integers(min_value=0, max_value=1 << 31)
SECONDS = st.floats(min_value=1.0, max_value=900.0)
CHOICES = st.lists(st.sampled_from(sorted(KINDS)), unique=True).map(
    lambda names: tuple([KINDS[name] for name in names])
)


@given(SEEDS, SECONDS, CHOICES)
def test_a_seed_draws_the_same_faults_each_time(
    seed: int, seconds: float, kinds: tuple[object, ...]
) -> None:
    wanted = [kind for kind in KINDS.values() if kind in kinds]
    assert timeline(seed, seconds, wanted) == timeline(seed, seconds, wanted)


@given(SEEDS, SECONDS, CHOICES)
def test_only_what_was_chosen_is_done_in_its_lane_within_the_time(
    seed: int, seconds: float, kinds: tuple[object, ...]
) -> None:
    wanted = [kind for kind in KINDS.values() if kind in kinds]
    for lane, planned in timeline(seed, seconds, wanted).items():
        for one in planned:
            kind = KINDS[one.kind]
            assert kind in wanted
            assert kind.lane is lane
            assert kind.span_s[0] <= one.span_s <= kind.span_s[1]
            assert QUIET_S <= one.at_s <= one.at_s + one.span_s <= seconds - QUIET_S


@given(SEEDS, SECONDS)
def test_faults_of_one_lane_never_overlap_and_come_in_turn(
    seed: int, seconds: float
) -> None:
    for lane, planned in timeline(seed, seconds, tuple(KINDS.values())).items():
        for one, other in itertools.pairwise(planned):
            assert one.at_s + one.span_s < other.at_s
        of_lane = [name for name, kind in KINDS.items() if kind.lane is lane]
        for start in range(0, len(planned), len(of_lane)):
            turn = [one.kind for one in planned[start : start + len(of_lane)]]
            assert len(set(turn)) == len(turn)


def test_ten_minutes_have_every_kind() -> None:
    planned = timeline(1, 600.0, tuple(KINDS.values()))
    assert {one.kind for lane in Lane for one in planned[lane]} == set(KINDS)


def test_every_kind_can_be_done_and_is_told_of() -> None:
    assert FAULTS.keys() == KINDS.keys()
    assert all(kind.about for kind in KINDS.values())


def test_kinds_are_chosen_by_name_or_beginning_and_taken_away_with_a_minus() -> None:
    assert chosen("") == tuple(KINDS.values())
    assert [kind.name for kind in chosen("hup, kill_host")] == ["kill_host", "hup"]
    assert {kind.name for kind in chosen("stop,-stop_all")} == {
        "stop_host",
        "stop_supervisor",
        "stop_broker",
        "stop_front",
    }
    assert len(chosen("-kill")) == len([n for n in KINDS if not n.startswith("kill_")])


@pytest.mark.parametrize(
    ("names", "unknown"),
    [("kil", "kil"), ("kill_host,lightning", "lightning"), ("-hap", "hap")],
)
def test_a_kind_that_there_is_not_is_an_error(names: str, unknown: str) -> None:
    with pytest.raises(ValueError, match=f"'{unknown}'"):
        chosen(names)


@given(SEEDS, st.integers(min_value=0, max_value=20))
def test_a_client_asks_the_same_each_time(seed: int, client: int) -> None:
    one, other = mix.orders(seed, client), mix.orders(seed, client)
    assert [next(one) for _ in range(50)] == [next(other) for _ in range(50)]


@given(SEEDS)
def test_no_two_requests_have_the_same_id(seed: int) -> None:
    drawn = [mix.orders(seed, client) for client in range(10)]
    ids = [next(orders).id for orders in drawn for _ in range(20)]
    assert len(set(ids)) == len(ids)


def test_something_that_outlasts_a_pause_is_always_running_in_every_pool() -> None:
    for client in range(mix.PATIENT):
        orders = mix.orders(7, client)
        some = [next(orders) for _ in range(50)]
        assert {order.pool for order in some} == {mix.POOLS[client]}
        assert all(order.pieces * order.wait_s >= 1.5 for order in some)
        assert any(order.has_length and order.pieces > 1 for order in some)


def test_the_load_has_every_kind_of_request_in_every_pool() -> None:
    orders = mix.orders(7, mix.PATIENT)
    some = [next(orders) for _ in range(2000)]
    for pool in mix.POOLS:
        for method in ("GET", "POST"):
            scripts = {o.script for o in some if (o.pool, o.method) == (pool, method)}
            assert {"quick.lua", "slow.lua", "large.lua", "stream.lua"} <= scripts
    assert {mix.LEAVING, *mix.SCRIPTS} == {order.script for order in some}
    assert any(order.is_raw and order.has_length for order in some)
    assert any(order.reads_slowly for order in some)
    assert any(order.leaves for order in some)
    assert max(order.upload_bytes for order in some) > 1 << 20

"""How much may be done at once, and how much in the long run."""

from hypothesis import given
from hypothesis import strategies as st

from luafarm.allowance import Allowance

amounts = st.lists(
    st.tuples(st.floats(0.0, 10.0), st.floats(0.0, 50.0)), min_size=1, max_size=50
)
"""Seconds since the one before, and how much is asked for."""


@given(amounts, st.floats(1.0, 100.0), st.floats(0.1, 100.0), st.floats(0.0, 1e6))
def test_who_stops_at_nothing_left_never_has_more_than_a_burst_and_the_rate(
    asked: list[tuple[float, float]], at_once: float, per_s: float, start: float
) -> None:
    allowance = Allowance(at_once, per_s)
    now, had = start, 0.0
    for pause_s, amount in asked:
        now += pause_s
        if allowance.left(now) < amount:
            continue
        assert allowance.take(now, amount) <= 1e-6
        had += amount
        assert had <= at_once + (now - start) * per_s + 1e-6 * (1 + had)


@given(amounts, st.floats(1.0, 100.0), st.floats(0.1, 100.0))
def test_who_waits_as_told_is_at_its_rate_and_in_order(
    asked: list[tuple[float, float]], at_once: float, per_s: float
) -> None:
    allowance = Allowance(at_once, per_s)
    now, had, due_before = 5.0, 0.0, 0.0
    for pause_s, amount in asked:
        now += pause_s
        due = now + allowance.take(now, amount)
        had += amount
        assert due >= due_before - 1e-6
        assert had <= at_once + (due - 5.0) * per_s + 1e-6 * (1 + had)
        due_before = due


@given(st.floats(1.0, 100.0), st.floats(0.1, 100.0), st.floats(0.0, 1e6))
def test_what_was_not_used_is_kept_up_to_a_burst(
    at_once: float, per_s: float, idle_s: float
) -> None:
    allowance = Allowance(at_once, per_s)
    allowance.take(0.0, at_once)
    assert abs(allowance.left(idle_s) - min(at_once, idle_s * per_s)) < 1e-6


def test_one_beyond_a_burst_waits_for_its_share_of_a_second() -> None:
    allowance = Allowance(2.0, 4.0)
    assert [allowance.take(9.0) for _ in range(4)] == [0.0, 0.0, 0.25, 0.5]

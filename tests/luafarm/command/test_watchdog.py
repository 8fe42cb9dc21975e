"""Who is silent for too long: events in, children out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luafarm.command.watchdog import LOOK_S, START_S, Watchdog
from luafarm.gaps import GAP_S

LIMIT_S = 3.0
ONE, TWO = 1, 2


def lives(watchdog: Watchdog, until: float, *beating: int, since: float = 0.0) -> None:
    """Let time pass in looks; these children beat, and nobody is silent."""
    now = since
    while now < until:
        for child in beating:
            watchdog.beats(child, now)
        assert watchdog.look(now) == []
        now += LOOK_S


@pytest.fixture
def watchdog() -> Watchdog:
    """Two children, which have beaten until 10."""
    made = Watchdog(LIMIT_S)
    for child in (ONE, TWO):
        made.starts(child, 0.0)
    lives(made, 10.0, ONE, TWO)
    return made


def test_nobody_needs_to_be_looked_at_before_anybody_was_started() -> None:
    assert Watchdog(LIMIT_S).next_look() is None


def test_a_child_that_is_silent_for_the_limit_is_named_once(watchdog: Watchdog) -> None:
    lives(watchdog, 12.5, ONE, since=10.0)
    assert watchdog.look(12.5) == [TWO]
    assert watchdog.look(13.0) == []
    lives(watchdog, 20.0, ONE, since=13.5)


def test_it_is_named_when_its_time_is_up_not_at_the_next_look(
    watchdog: Watchdog,
) -> None:
    lives(watchdog, 12.5, ONE, since=10.0)
    watchdog.beats(ONE, 12.4)
    assert watchdog.next_look() == 9.5 + LIMIT_S


def test_a_child_that_starts_has_its_starting_time() -> None:
    watchdog = Watchdog(LIMIT_S)
    watchdog.starts(ONE, 0.0)
    lives(watchdog, START_S)
    assert watchdog.look(START_S) == [ONE]


def test_after_its_first_beat_the_limit_counts() -> None:
    watchdog = Watchdog(LIMIT_S)
    watchdog.starts(ONE, 0.0)
    lives(watchdog, 1.0, ONE)
    lives(watchdog, 3.5, since=1.0)
    assert watchdog.look(3.5) == [ONE]


def test_the_one_that_takes_its_place_has_a_starting_time_again(
    watchdog: Watchdog,
) -> None:
    lives(watchdog, 12.5, ONE, since=10.0)
    assert watchdog.look(12.5) == [TWO]
    watchdog.leaves(TWO)  # it was killed, and has ended
    watchdog.starts(3, 12.6)
    lives(watchdog, 12.6 + START_S, ONE, since=12.6)


def test_who_was_asked_to_end_may_be_silent(watchdog: Watchdog) -> None:
    watchdog.leaves(ONE)
    watchdog.beats(ONE, 10.0)  # it goes on for a while
    lives(watchdog, 60.0, TWO, since=10.0)
    watchdog.leaves(TWO)
    assert watchdog.next_look() is None


def test_after_a_pause_of_the_one_who_looks_everybody_has_the_limit_again(
    watchdog: Watchdog,
) -> None:
    assert watchdog.look(100.0) == []  # all of them were suspended
    lives(watchdog, 103.0, ONE, since=100.0)
    assert watchdog.look(103.0) == [TWO]


def test_a_gap_shortens_no_starting_time() -> None:
    watchdog = Watchdog(LIMIT_S)
    watchdog.starts(ONE, 0.0)
    assert watchdog.look(10.0) == []
    lives(watchdog, START_S, since=10.5)
    assert watchdog.look(START_S) == [ONE]


def test_a_start_after_a_long_rest_is_no_pause() -> None:
    watchdog = Watchdog(LIMIT_S)
    watchdog.starts(ONE, 0.0)
    watchdog.leaves(ONE)
    watchdog.starts(TWO, 1000.0)
    assert watchdog.next_look() == 1000.0 + LOOK_S


def test_looks_that_are_a_little_late_forgive_nothing(watchdog: Watchdog) -> None:
    late_s = LOOK_S + GAP_S - 0.01
    now = 9.5 + late_s
    while now < 9.5 + LIMIT_S:
        assert watchdog.look(now) == []
        now += late_s
    assert watchdog.look(now) == [ONE, TWO]


def test_a_pause_is_what_a_look_comes_too_late(watchdog: Watchdog) -> None:
    assert watchdog.gap_s(9.5 + LOOK_S + GAP_S - 0.01) == 0.0
    assert watchdog.gap_s(29.5) == 20.0
    watchdog.look(29.5)
    assert watchdog.gap_s(30.0) == 0.0


def test_without_a_limit_nobody_is_watched() -> None:
    watchdog = Watchdog(0.0)
    watchdog.starts(ONE, 0.0)
    assert watchdog.next_look() is None
    assert watchdog.look(1e6) == []


@given(
    st.lists(st.floats(0.0, 5.0), max_size=60),  # from look to look
    st.lists(st.booleans(), min_size=60, max_size=60),
)
def test_nobody_who_beat_within_the_limit_is_ever_named(
    steps: list[float], beaten: list[bool]
) -> None:
    watchdog = Watchdog(LIMIT_S)
    watchdog.starts(ONE, 0.0)
    now = heard_at = 0.0
    watchdog.beats(ONE, now)
    for step, beats in zip(steps, beaten, strict=False):
        now += step
        if beats:
            watchdog.beats(ONE, now)
            heard_at = now
        if watchdog.look(now):
            assert now - heard_at >= LIMIT_S
            assert step < LOOK_S + GAP_S  # no pause of ours accuses anybody
            return


def test_who_is_adopted_has_the_time_that_was_left(watchdog: Watchdog) -> None:
    by = watchdog.beats_by(ONE)
    other = Watchdog(LIMIT_S)
    other.adopt(ONE, by, by - 0.5)
    assert other.look(by - 0.1) == []
    assert other.look(by) == [ONE]
    assert other.beats_by(ONE) == 0.0


def test_who_was_not_watched_when_it_is_adopted_is_so_from_now_on() -> None:
    watchdog = Watchdog(LIMIT_S)
    watchdog.adopt(ONE, 0.0, 10.0)
    assert watchdog.beats_by(ONE) == 10.0 + START_S
    silent = Watchdog(0.0)
    silent.adopt(ONE, 12.0, 10.0)
    assert silent.next_look() is None

"""Times in which a process did not run."""

from luafarm.gaps import GAP_S, Gaps


def test_only_ticks_that_are_far_apart_have_a_gap_between_them() -> None:
    gaps = Gaps(0.25)
    assert gaps.tick(1000.0) == 0.0  # the first one: nobody was waited for
    assert gaps.tick(1000.25) == 0.0
    assert gaps.tick(1000.25 + 0.25 + GAP_S) == 0.0
    assert gaps.tick(1060.0) == 1060.0 - (1000.5 + GAP_S)
    assert gaps.tick(1060.25) == 0.0

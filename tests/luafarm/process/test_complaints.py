"""Lines about peers: how many of them are written."""

from hypothesis import given
from hypothesis import strategies as st

from luafarm.process.complaints import LONGEST, Complaints


def test_a_cause_is_told_at_once_and_later_with_how_often_it_was_left_out() -> None:
    complaints = Complaints(every_s=60.0)
    assert complaints.line("a", "refused", 1000.0) == "refused"
    for second in range(59):
        assert complaints.line("a", "refused", 1001.0 + second) == ""
    again = complaints.line("a", "refused", 1060.0)
    assert again == "refused (59 more times since it was last told)"
    assert complaints.line("a", "refused", 1060.0) == ""


def test_another_cause_has_a_line_of_its_own() -> None:
    complaints = Complaints()
    assert complaints.line("a", "first", 0.0) == "first"
    assert complaints.line("b", "second", 0.0) == "second"


def test_a_line_has_a_longest_length() -> None:
    assert len(Complaints().line("a", "x" * 10_000, 0.0)) == LONGEST


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.floats(0.0, 20.0)), min_size=1, max_size=200
    )
)
def test_however_many_causes_there_are_the_lines_in_a_time_are_bounded(
    steps: list[tuple[int, float]],
) -> None:
    complaints = Complaints(every_s=10.0, causes=3)
    now, told = 0.0, []
    for cause, pause_s in steps:
        now += pause_s
        if complaints.line(f"{cause}", "text", now):
            told.append((now, cause))
    for at, cause in told:
        window = [c for when, c in told if at <= when < at + 10.0]
        assert len(window) <= 3 * 2  # those of before, and those that took their place
        assert window.count(cause) == 1

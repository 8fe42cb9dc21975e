"""What waits for files is done in time, and bounded."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from broker.library.resting import ENTRY_BYTES, MOST, MOST_BYTES, Resting


def nothing(_since: float) -> None:
    """Do nothing when it is due."""


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 1 << 20))))
def test_all_and_only_what_is_due_is_done_in_order(
    entries: list[tuple[int, int]],
) -> None:
    resting = Resting()
    done: list[float] = []
    for due, size in entries:
        resting.add(float(due), float(due), size, done.append)
    resting.release(10.0)
    assert done == sorted(float(due) for due, _ in entries if due <= 10)
    later = [float(due) for due, _ in entries if due > 10]
    assert len(resting) == len(later)
    assert resting.due_at() == min(later, default=inf)


def test_what_is_added_while_others_are_done_comes_next_time() -> None:
    resting = Resting()
    resting.add(1.0, 1.0, 0, lambda since: resting.add(since, since, 0, nothing))
    resting.release(1.0)
    assert len(resting) == 1


def test_it_is_full_by_bytes_until_they_are_done() -> None:
    resting = Resting()
    times = MOST_BYTES // (ENTRY_BYTES + (1 << 20))
    for n in range(times):
        resting.add(float(n), 0.0, 1 << 20, nothing)
    before = resting.is_full
    resting.add(0.0, 0.0, 1 << 20, nothing)
    assert not before
    fulls = [resting.is_full]
    for now in (0.0, float(times)):
        resting.release(now)
        fulls.append(resting.is_full)
    assert fulls == [True, False, False]
    assert len(resting) == 0


def test_it_is_full_by_number() -> None:
    resting = Resting()
    for _ in range(MOST):
        assert not resting.is_full
        resting.add(1.0, 0.0, 0, nothing)
    assert resting.is_full

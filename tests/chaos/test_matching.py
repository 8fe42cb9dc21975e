"""Failures and the faults that they are charged to."""

from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.matching import assigned

ROOM = st.lists(st.one_of(st.none(), st.integers(min_value=0, max_value=3)), max_size=5)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[list[int]], list[int | None]]:
    room = draw(ROOM)
    wish = st.lists(
        st.integers(min_value=0, max_value=max(0, len(room) - 1)), unique=True
    )
    wishes = draw(st.lists(wish, max_size=7)) if room else [[]]
    return wishes, room


def _most(wishes: list[list[int]], room: list[int | None]) -> int:
    """Try everything: how many can be charged."""
    if not wishes:
        return 0
    best = _most(wishes[1:], room)
    for fault in wishes[0]:
        left = room[fault]
        if left is None or left > 0:
            fewer = [*room]
            fewer[fault] = None if left is None else left - 1
            best = max(best, 1 + _most(wishes[1:], fewer))
    return best


@given(cases())
def test_as_many_failures_are_charged_as_can_be(
    case: tuple[list[list[int]], list[int | None]],
) -> None:
    wishes, room = case
    charged = assigned(wishes, room)
    assert len([one for one in charged if one is not None]) == _most(wishes, room)


@given(cases())
def test_a_failure_is_charged_to_what_may_have_cost_it_and_no_fault_beyond_its_room(
    case: tuple[list[list[int]], list[int | None]],
) -> None:
    wishes, room = case
    charged = assigned(wishes, room)
    for wish, fault in zip(wishes, charged, strict=True):
        assert fault is None or fault in wish
    for fault, most in enumerate(room):
        assert most is None or charged.count(fault) <= most


def test_a_failure_gives_way_to_another_that_has_no_choice() -> None:
    assert assigned([[0, 1], [0]], [1, 1]) == [1, 0]
